import assert from "node:assert/strict";
import { test } from "node:test";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { ErrorCode } from "@polaris-cvm/sdk/errors";
import {
  afterLogin,
  connect,
  DESCRIPTOR,
  MANIFEST,
  referenceTo,
  sendManifest,
  startRegistryOf,
} from "../../testing/hostile-exchange.ts";
import type { AnswerRequest } from "../../testing/hostile-registry.ts";
import { rejection } from "../../testing/planted-secrets.ts";
import { ACCOUNT } from "../../testing/registry-fixture.ts";
import { digestOf } from "../manifest.ts";

const signal = AbortSignal.timeout(60_000);

test("429 is asked again after the time that it names, and then all is well", async (t) => {
  const server = await startRegistryOf(t, (request, response, seen) => {
    if (server.seen.length > 1) return sendManifest(request, response, seen);
    response.writeHead(429, { "retry-after": "1" }).end();
  });
  const startMs = performance.now();
  const manifest = await connect(t, { retryDelaysMs: [1] }).readManifest(referenceTo(server.host), signal);
  assert.equal(manifest.digest, digestOf(MANIFEST));
  assert.ok(performance.now() - startMs > 950);
});

test("a server that asks for no wait is still not asked again at once", async (t) => {
  const server = await startRegistryOf(t, (request, response, seen) => {
    if (server.seen.length > 1) return sendManifest(request, response, seen);
    response.writeHead(429, { "retry-after": "0" }).end();
  });
  const startMs = performance.now();
  await connect(t, { retryDelaysMs: [300] }).readManifest(referenceTo(server.host), signal);
  assert.ok(performance.now() - startMs > 280);
});

test("a token server that fails is tried as often as a registry, not as often for each try of that", async (t) => {
  const failures: readonly (readonly [answer: AnswerRequest, code: ErrorCode, requests: number])[] = [
    [(request) => void request.socket.destroy(), "REGISTRY_UNREACHABLE", 3],
    [(_request, response) => void response.writeHead(503).end(), "REGISTRY_FAILED", 3],
    // It breaks off in the middle of the token.
    [
      (request, response) => void response.write("{", () => request.socket.destroy()),
      "REGISTRY_UNREACHABLE",
      1,
    ],
  ];
  for (const [answer, code, requests] of failures) {
    const tokens = await startRegistryOf(t, answer);
    const registry = await startRegistryOf(
      t,
      (_request, response) =>
        void response
          .writeHead(401, { "www-authenticate": `Bearer realm="http://${tokens.host}/token"` })
          .end(),
    );
    let searches = 0;
    const client = connect(t, {
      retryDelaysMs: [1, 1],
      credentials: {
        async find() {
          searches += 1;
          return { kind: "password", ...ACCOUNT };
        },
      },
    });
    assert.equal((await rejection(client.readManifest(referenceTo(registry.host), signal))).code, code);
    assert.deepEqual([registry.seen.length, tokens.seen.length, searches], [1, requests, 1]);
    const upload = client.writeBlob(referenceTo(registry.host), DESCRIPTOR, () => assert.fail(), { signal });
    assert.equal((await rejection(upload)).code, code);
    assert.deepEqual([registry.seen.length, tokens.seen.length, searches], [2, 2 * requests, 1]);
  }
});

test("a search for a login that failed is made again, and not as a retry", async (t) => {
  const server = await startRegistryOf(t, afterLogin(sendManifest));
  let searches = 0;
  const client = connect(t, {
    retryDelaysMs: [1, 1],
    credentials: {
      async find() {
        searches += 1;
        if (searches === 1) throw new PolarisError("CREDENTIAL_HELPER_FAILED", "the helper failed");
        return { kind: "password", ...ACCOUNT };
      },
    },
  });
  const error = await rejection(client.readManifest(referenceTo(server.host), signal));
  assert.equal(error.code, "CREDENTIAL_HELPER_FAILED");
  assert.equal(searches, 1);
  await client.readManifest(referenceTo(server.host), signal);
  assert.equal(searches, 2);
});

test("the wait that a server asks for ends with the signal", async (t) => {
  const server = await startRegistryOf(
    t,
    (_request, response) => void response.writeHead(429, { "retry-after": "50" }).end(),
  );
  const abort = new AbortController();
  const reason = new Error("Ctrl-C");
  setTimeout(() => abort.abort(reason), 100);
  const reading = connect(t, { retryDelaysMs: [1] }).readManifest(referenceTo(server.host), abort.signal);
  await assert.rejects(reading, (error) => error === reason);
});
