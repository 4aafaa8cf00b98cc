import assert from "node:assert/strict";
import { generateKeyPair, type KeyObject } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { type Box, type BoxOptions, startBox } from "./box.ts";
import { discoveryFolder } from "./discovery.ts";

/** For the `skip` of a test: why it cannot run here, or false. */
export const DISCOVERY_MISSING = existsSync(join(discoveryFolder(), "iam.v1.json"))
  ? false
  : "Google's discovery documents are not here";

const SERVICES = [
  "artifactregistry",
  "cloudkms",
  "cloudresourcemanager",
  "confidentialcomputing",
  "iam",
  "iamcredentials",
  "secretmanager",
  "sts",
].map((name) => `${name}.googleapis.com`);

export const PROJECT = "polaris-box";
export const NUMBER = "123456789012";

let sharedKey: Promise<KeyObject> | undefined;

/** RSA-4096 keys take long to make: the first one is shared by the tests of a file. */
export async function sharedRsaKey(): Promise<KeyObject> {
  sharedKey ??= promisify(generateKeyPair)("rsa", { modulusLength: 4096 }).then((pair) => pair.privateKey);
  return sharedKey;
}

export interface Request {
  /** The owner's token if absent; null: none. */
  readonly token?: string | null;
  readonly json?: unknown;
  readonly form?: Readonly<Record<string, string>>;
}

/** JSON of an answer; tests say what of it there is. */
// oxlint-disable-next-line typescript/no-explicit-any -- answers of eight services, each with its own shape
export type Json = any;

export interface Answer {
  readonly status: number;
  readonly body: Json;
}

export interface TestBox extends Box {
  readonly clock: { nowMs: number };
  call(api: string, method: string, path: string, request?: Request): Promise<Answer>;
  /** The same, for calls that must go well. Operations of IAM and Artifact Registry are waited for. */
  make(api: string, method: string, path: string, json?: unknown): Promise<Json>;
  /** Token of somebody else, who may do nothing yet. */
  tokenOf(member: string): string;
}

/** Starts a box whose clock stands still; when the test ends it must have kept to Google's documents. */
export async function startTestBox(t: TestContext, options: BoxOptions = {}): Promise<TestBox> {
  // Google's libraries look at the computer's clock.
  const clock = { nowMs: Date.now() };
  const box = await startBox({
    projectId: PROJECT,
    projectNumber: NUMBER,
    enabledServices: SERVICES,
    pace: { polls: 1, maxMs: 60_000 },
    now: () => clock.nowMs,
    ...options,
    iam: { generateKey: sharedRsaKey, ...options.iam },
  });
  t.after(async () => {
    await box.stop();
    assert.deepEqual(box.faults, []);
  });
  const call: TestBox["call"] = async (api, method, path, { token, json, form } = {}) => {
    const bearer = token === undefined ? box.accessToken : token;
    const response = await fetch(`${box.endpoints[api] ?? ""}${path}`, {
      method,
      headers: {
        ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }),
        ...(json === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(json === undefined ? {} : { body: JSON.stringify(json) }),
      ...(form === undefined ? {} : { body: new URLSearchParams(form) }),
    });
    return { status: response.status, body: await response.json() };
  };
  const make: TestBox["make"] = async (api, method, path, json) => {
    const answer = await call(api, method, path, json === undefined ? {} : { json });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    if (answer.body.done !== false) return answer.body;
    const operation = await call(api, "GET", `/v1/${answer.body.name}`);
    assert.equal(operation.body.done, true, JSON.stringify(operation.body));
    return operation.body.response;
  };
  const tokenOf = (member: string): string => {
    const token = `token-of-${member}`;
    box.world.addToken(token, { member, memberships: [] });
    return token;
  };
  return { ...box, faults: box.faults, clock, call, make, tokenOf };
}
