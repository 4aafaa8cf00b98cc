import assert from "node:assert/strict";
import { test } from "node:test";
import {
  afterLogin,
  assertRefused,
  BASIC,
  connect,
  DESCRIPTOR,
  MANIFEST,
  referenceTo,
  sendForEver,
  sendManifest,
  startRegistryOf,
} from "../../testing/hostile-exchange.ts";
import type { RefusedAnswer } from "../../testing/hostile-exchange.ts";
import { rejection } from "../../testing/planted-secrets.ts";
import { ACCOUNT } from "../../testing/registry-fixture.ts";
import { digestOf, MAX_MANIFEST_BYTES, OCI_MANIFEST } from "../manifest.ts";

const signal = AbortSignal.timeout(60_000);

const REFUSALS: readonly RefusedAnswer[] = [
  {
    name: "401 without a challenge",
    answer: (_request, response) => void response.writeHead(401).end(),
    code: "REGISTRY_DENIED",
    message: /wants a login \(status 401\) in a way that we do not follow: expected Basic or Bearer/,
    hint: /tell those who run it/,
    requests: 1,
  },
  {
    name: "401 with a challenge that we do not know",
    answer: (_request, response) =>
      void response.writeHead(401, { "www-authenticate": 'Digest realm="x", nonce="y"' }).end(),
    code: "REGISTRY_DENIED",
    message: /expected Basic or Bearer/,
    hint: /tell those who run it/,
    requests: 1,
  },
  {
    name: "401 to a login, with the login in the answer",
    answer: afterLogin((request, response) => {
      response.writeHead(401, `no ${ACCOUNT.password}`, {
        "www-authenticate": `Basic realm="${request.headers.authorization}", ${ACCOUNT.password}`,
        "content-type": "application/json",
      });
      response.end(JSON.stringify({ errors: [{ code: ACCOUNT.password, message: BASIC }] }));
    }),
    code: "REGISTRY_DENIED",
    message: /does not let us at 127\.0\.0\.1:\d+\/team\/app:v1 \(status 401\)$/,
    hint: /^docker login 127\.0\.0\.1:\d+, or set POLARIS_REGISTRY/,
    requests: 2,
  },
  {
    name: "403",
    answer: (_request, response) =>
      void response.writeHead(403).end(JSON.stringify({ errors: [{ code: "DENIED", message: BASIC }] })),
    code: "REGISTRY_DENIED",
    message: /forbids us 127\.0\.0\.1:\d+\/team\/app:v1 \(status 403, DENIED\)$/,
    hint: /docker login/,
    requests: 1,
  },
  {
    name: "404",
    answer: (_request, response) => void response.writeHead(404).end("404 page not found"),
    code: "IMAGE_NOT_FOUND",
    message: /does not have 127\.0\.0\.1:\d+\/team\/app:v1 \(status 404\)$/,
    hint: /check the name and the tag/,
    requests: 1,
  },
  {
    name: "429 for ever",
    answer: (_request, response) => void response.writeHead(429, { "retry-after": "0" }).end(),
    code: "REGISTRY_RATE_LIMITED",
    message: /status 429/,
    hint: /try again later/,
    requests: 3,
  },
  ...(
    [
      ["61", "61 s"],
      ["3600", "60 min"],
      ["9".repeat(400), "more than a day"],
    ] as const
  ).map(([retryAfter, wait]): RefusedAnswer => ({
    name: `429 with a wait of ${wait}`,
    answer: (_request, response) => void response.writeHead(429, { "retry-after": retryAfter }).end(),
    code: "REGISTRY_RATE_LIMITED",
    message: /status 429/,
    hint: new RegExp(`^it asks to wait for ${wait}: try again then; accounts`),
    requests: 1,
  })),
  {
    name: "503 with a wait of two hours",
    answer: (_request, response) => void response.writeHead(503, { "retry-after": "7200" }).end(),
    code: "REGISTRY_FAILED",
    message: /status 503/,
    hint: /^it asks to wait for 120 min: try again then; if it stays so/,
    requests: 1,
  },
  {
    name: "500 for ever",
    answer: (_request, response) => void response.writeHead(500).end(`panic: ${BASIC}`),
    code: "REGISTRY_FAILED",
    message: /failed at 127\.0\.0\.1:\d+\/team\/app:v1 \(status 500\)$/,
    hint: /try again later/,
    requests: 3,
  },
  {
    name: "a status that nobody expects",
    answer: (_request, response) => void response.writeHead(418).end(),
    code: "REGISTRY_FAILED",
    message: /status 418/,
    hint: /tell those who run the registry/,
    requests: 1,
  },
  {
    name: "an answer that is not HTTP",
    answer: (request) => void request.socket.end(`SSH-2.0-${ACCOUNT.password}\r\n\r\n`),
    code: "REGISTRY_FAILED",
    message: /^the answer of 127\.0\.0\.1:\d+ is not HTTP as we know it$/,
    hint: /check that a registry is listening there/,
    requests: 1,
  },
  {
    name: "a connection that is closed each time",
    answer: (request) => void request.socket.destroy(),
    code: "REGISTRY_UNREACHABLE",
    message: /the connection failed \((UND_ERR_SOCKET|ECONNRESET)\)/,
    hint: /try again/,
    requests: 3,
  },
  {
    name: "another digest in the header",
    answer: (_request, response) =>
      void response
        .writeHead(200, { "content-type": OCI_MANIFEST, "docker-content-digest": DESCRIPTOR.digest })
        .end(MANIFEST),
    code: "IMAGE_DIGEST_MISMATCH",
    message: /team\/app:v1: expected digest sha256:\w+, got sha256:\w+$/,
    hint: /do not use it/,
    requests: 1,
  },
  {
    name: "a digest that is none",
    answer: (_request, response) =>
      void response
        .writeHead(200, { "content-type": OCI_MANIFEST, "docker-content-digest": ACCOUNT.password })
        .end(MANIFEST),
    code: "REGISTRY_FAILED",
    message: /without a SHA-256 digest in Docker-Content-Digest$/,
    hint: /check that this is a container registry/,
    requests: 1,
  },
  {
    name: "no media type",
    answer: (_request, response) => void response.writeHead(200).end(MANIFEST),
    code: "REGISTRY_FAILED",
    message: /without a Content-Type$/,
    hint: /check that this is a container registry/,
    requests: 1,
  },
  {
    name: "a manifest without an end",
    answer: (_request, response) => {
      response.writeHead(200, { "content-type": OCI_MANIFEST });
      sendForEver(response);
    },
    code: "IMAGE_TOO_LARGE",
    message: new RegExp(`team/app:v1 is longer than ${MAX_MANIFEST_BYTES} bytes$`),
    hint: /check what was pushed/,
    requests: 1,
  },
  {
    name: "a manifest that breaks off",
    answer: (_request, response) => {
      response.writeHead(200, { "content-type": OCI_MANIFEST, "content-length": "1000" });
      response.write(MANIFEST, () => response.destroy());
    },
    code: "REGISTRY_UNREACHABLE",
    message: /the connection failed/,
    hint: /try again/,
    requests: 1,
  },
];

for (const refusal of REFUSALS) {
  test(`${refusal.name} ends with ${refusal.code}, and tells no secret`, (t) => assertRefused(t, refusal));
}

test("a manifest with another digest than was asked for is refused", async (t) => {
  const server = await startRegistryOf(t, sendManifest);
  const reference = { ...referenceTo(server.host), digest: DESCRIPTOR.digest };
  const error = await rejection(connect(t).readManifest(reference, signal));
  assert.equal(error.code, "IMAGE_DIGEST_MISMATCH");
  assert.equal(error.exitCode, 5);
});

test("a digest that HEAD does not tell is found out", async (t) => {
  const server = await startRegistryOf(t, sendManifest);
  assert.equal(await connect(t).findManifest(referenceTo(server.host), signal), digestOf(MANIFEST));
  assert.deepEqual(
    server.seen.map(({ method }) => method),
    ["HEAD", "GET"],
  );
});
