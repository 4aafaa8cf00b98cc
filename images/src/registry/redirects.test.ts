import assert from "node:assert/strict";
import { test } from "node:test";
import {
  afterLogin,
  assertRefused,
  BASIC,
  connect,
  referenceTo,
  sendManifest,
  startRegistryOf,
} from "../../testing/hostile-exchange.ts";
import type { RefusedAnswer } from "../../testing/hostile-exchange.ts";
import { rejection } from "../../testing/planted-secrets.ts";
import { ACCOUNT } from "../../testing/registry-fixture.ts";

const signal = AbortSignal.timeout(60_000);

const REFUSALS: readonly RefusedAnswer[] = [
  {
    name: "a redirect in a circle",
    answer: (_request, response) => void response.writeHead(307, { location: "?again" }).end(),
    code: "REGISTRY_FAILED",
    message: /redirects more than 5 times/,
    hint: /tell those who run it/,
    requests: 6,
  },
  {
    name: "a redirect to nowhere",
    answer: (_request, response) => void response.writeHead(307).end(),
    code: "REGISTRY_FAILED",
    message: /redirects to nowhere/,
    hint: /tell those who run it/,
    requests: 1,
  },
  {
    name: "a redirect to another host without TLS",
    answer: (_request, response) => void response.writeHead(307, { location: "http://192.0.2.1/" }).end(),
    code: "REGISTRY_FAILED",
    message: /redirects to http:\/\/192\.0\.2\.1: expected https/,
    hint: /tell those who run it/,
    requests: 1,
  },
  {
    name: "a redirect with a login in it",
    answer: (_request, response) =>
      void response.writeHead(307, { location: `https://u:${ACCOUNT.password}@127.0.0.1/` }).end(),
    code: "REGISTRY_FAILED",
    message: /no login in the URL/,
    hint: /tell those who run it/,
    requests: 1,
  },
  {
    name: "a redirect to a file",
    answer: (_request, response) => void response.writeHead(307, { location: "file:///etc/passwd" }).end(),
    code: "REGISTRY_FAILED",
    message: /expected https/,
    hint: /tell those who run it/,
    requests: 1,
  },
];

for (const refusal of REFUSALS) {
  test(`${refusal.name} ends with ${refusal.code}, and tells no secret`, (t) => assertRefused(t, refusal));
}

test("a redirect to another host has no login, on the way back neither", async (t) => {
  const storage = await startRegistryOf(
    t,
    (_request, response) => void response.writeHead(307, { location: `http://${registry.host}/back` }).end(),
  );
  const registry = await startRegistryOf(t, (request, response, seen) => {
    if (seen.url === "/back") return sendManifest(request, response, seen);
    return afterLogin(() => {
      response.writeHead(307, { location: `http://${storage.host}/signed?key=1` }).end();
    })(request, response, seen);
  });
  await connect(t).readManifest(referenceTo(registry.host), signal);
  assert.deepEqual(
    registry.seen.map(({ authorization }) => authorization),
    [undefined, BASIC, undefined],
  );
  assert.deepEqual(storage.seen, [{ method: "GET", url: "/signed?key=1", authorization: undefined }]);
});

test("a redirect within the registry keeps the login", async (t) => {
  const server = await startRegistryOf(
    t,
    afterLogin((request, response, seen) => {
      if (seen.url === "/elsewhere") return sendManifest(request, response, seen);
      response.writeHead(302, { location: "/elsewhere" }).end();
    }),
  );
  await connect(t).readManifest(referenceTo(server.host), signal);
  assert.equal(server.seen.at(-1)?.authorization, BASIC);
});

test("another host that wants a login after a redirect gets none", async (t) => {
  const other = await startRegistryOf(t, afterLogin(sendManifest));
  const registry = await startRegistryOf(
    t,
    (_request, response) => void response.writeHead(307, { location: `http://${other.host}/` }).end(),
  );
  const error = await rejection(connect(t).readManifest(referenceTo(registry.host), signal));
  assert.equal(error.code, "REGISTRY_DENIED");
  assert.deepEqual(
    other.seen.map(({ authorization }) => authorization),
    [undefined],
  );
});
