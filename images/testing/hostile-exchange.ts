/** What the tests of the registry client share that have it talk to a registry with answers of their own. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { TestContext } from "node:test";
import type { ErrorCode } from "@polaris-cvm/sdk/errors";
import type { ImageReference } from "../src/image-reference.ts";
import { digestOf, OCI_LAYER_GZIP, OCI_MANIFEST } from "../src/manifest.ts";
import type { Descriptor } from "../src/manifest.ts";
import { createRegistryClient } from "../src/registry/registry-client.ts";
import type { RegistryClient, RegistryClientOptions } from "../src/registry/registry-client.ts";
import { startHostileRegistry } from "./hostile-registry.ts";
import type { AnswerRequest, HostileRegistry } from "./hostile-registry.ts";
import { rejection } from "./planted-secrets.ts";
import { ACCOUNT } from "./registry-fixture.ts";

/** {@link ACCOUNT} in an Authorization header. */
export const BASIC = `Basic ${Buffer.from(`${ACCOUNT.username}:${ACCOUNT.password}`).toString("base64")}`;

export const MANIFEST = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST }));
export const BLOB = randomBytes(200_000);
export const DESCRIPTOR: Descriptor = {
  mediaType: OCI_LAYER_GZIP,
  digest: digestOf(BLOB),
  size: BLOB.length,
};

export function referenceTo(registry: string): ImageReference {
  return { registry, repository: "team/app", tag: "v1", digest: undefined };
}

export async function startRegistryOf(t: TestContext, answer: AnswerRequest): Promise<HostileRegistry> {
  const server = await startHostileRegistry(answer);
  t.after(() => server.stop());
  return server;
}

/** A client with {@link ACCOUNT} that tries everything once, unless told otherwise. */
export function connect(t: TestContext, options: RegistryClientOptions = {}): RegistryClient {
  const client = createRegistryClient({
    credentials: { find: async () => ({ kind: "password", ...ACCOUNT }) },
    retryDelaysMs: [],
    ...options,
  });
  t.after(() => client.close());
  return client;
}

/** Whoever has not said who they are is asked for it; what comes then is the test's. */
export function afterLogin(answer: AnswerRequest): AnswerRequest {
  return (request, response, seen) => {
    if (seen.authorization !== undefined) return answer(request, response, seen);
    response.writeHead(401, { "www-authenticate": 'Basic realm="hostile"' }).end();
  };
}

export const sendManifest: AnswerRequest = (_request, response) => {
  response.writeHead(200, { "content-type": OCI_MANIFEST }).end(MANIFEST);
};

export function sendForEver(response: Parameters<AnswerRequest>[1]): void {
  const piece = Buffer.alloc(64 * 1024);
  const fill = (): void => {
    while (!response.destroyed && response.write(piece));
  };
  response.on("drain", fill);
  fill();
}

/** An answer for which no manifest is taken. */
export interface RefusedAnswer {
  readonly name: string;
  readonly answer: AnswerRequest;
  readonly code: ErrorCode;
  readonly message: RegExp;
  readonly hint: RegExp;
  /** After the one that brought the challenge, if there was one; two more attempts are allowed. */
  readonly requests: number;
}

/** Asks for a manifest; the error may have nothing of {@link ACCOUNT}'s password. */
export async function assertRefused(
  t: TestContext,
  { answer, code, message, hint, requests }: RefusedAnswer,
): Promise<void> {
  const server = await startRegistryOf(t, answer);
  const client = connect(t, { retryDelaysMs: [1, 1] });
  const error = await rejection(client.readManifest(referenceTo(server.host), t.signal));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
  assert.match(error.hint ?? "", hint);
  assert.equal(server.seen.length, requests);
}
