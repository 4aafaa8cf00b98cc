import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { computeBinding, encodeHex, importPublicKey, parseAttestationDocument } from "@polaris-cvm/sdk";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { GOLDEN_VECTORS, createContainerKeyProvider } from "../testing/golden-vectors.ts";
import { startProxy, startWorkload } from "../testing/running-proxy.ts";
import { startTokenAgent } from "../testing/token-agent-double.ts";

const recipient = await importPublicKey(GOLDEN_VECTORS.containerPublicKeyPem);
const nonce = randomBytes(32);

async function ask(
  url: string,
  path: string,
  init: RequestInit = {},
): Promise<[status: number, json: unknown]> {
  const response = await fetch(`${url}/polaris-container/${path}`, init);
  assert.equal(response.headers.get("cache-control"), "no-store");
  return [response.status, await response.json()];
}

/** Status and code of a refusal. */
async function refusal(url: string, path: string, init?: RequestInit): Promise<[number, unknown]> {
  const [status, problem] = await ask(url, path, init);
  return [status, (problem as { code: unknown }).code];
}

test("health and publicKey have the shapes of the original, whatever is sealed", async () => {
  const required = { requests: "required", responses: "required" } as const;
  await using proxy = await startProxy("http://127.0.0.1:1", { encryption: required });
  assert.deepEqual(await ask(proxy.url, "health"), [200, { status: "ok" }]);
  assert.deepEqual(await ask(proxy.url, "publicKey"), [
    200,
    { publicKey: GOLDEN_VECTORS.containerPublicKeyPem },
  ]);
});

test("ready needs a key and a workload, and says what is missing", async () => {
  await using workload = await startWorkload();
  const container = await createContainerKeyProvider();
  const publicKey = () => Promise.reject(new PolarisError("KEY_RELEASE_DENIED", "denied"));
  await using ready = await startProxy(workload.url);
  await using waiting = await startProxy("http://127.0.0.1:1", { keys: { ...container, publicKey } });
  assert.deepEqual(await ask(ready.url, "ready"), [200, { status: "ready" }]);
  assert.deepEqual(await ask(waiting.url, "ready"), [
    503,
    { status: "not-ready", reasons: ["KEY_RELEASE_DENIED", "WORKLOAD_UNREACHABLE"] },
  ]);
});

test("a health path decides on the workload's readiness, where there is one", async () => {
  await using workload = await startWorkload((request, response) => {
    response.writeHead(request.url === "/fine" ? 204 : 500).end();
  });
  await using fine = await startProxy(workload.url, { workload: { healthPath: "/fine" } });
  await using broken = await startProxy(workload.url, { workload: { healthPath: "/broken" } });
  assert.equal((await ask(fine.url, "ready"))[0], 200);
  assert.deepEqual(await ask(broken.url, "ready"), [
    503,
    { status: "not-ready", reasons: ["WORKLOAD_UNREACHABLE"] },
  ]);
});

test("the attestation document binds stack, nonce and key, and parses by the contract", async () => {
  await using agent = await startTokenAgent(() => "token e30.e30.c2ln\n");
  await using proxy = await startProxy("http://127.0.0.1:1", { tokenAgentSocket: agent.socketPath });
  const [status, json] = await ask(proxy.url, `attestation?nonce=${nonce.toString("base64url")}`);
  assert.equal(status, 200);
  const binding = encodeHex(await computeBinding({ stack: "test/default", nonce, spki: recipient.spki }));
  assert.deepEqual(parseAttestationDocument(json), {
    version: 1,
    stack: "test/default",
    algorithm: "RSA-OAEP-256+A256GCM",
    publicKey: GOLDEN_VECTORS.containerPublicKeyPem,
    keyId: recipient.keyId,
    keyOrigin: { kind: "ephemeral" },
    nonce: nonce.toString("base64url"),
    binding,
    tlsPublicKeySha256: null,
    evidence: [{ type: "oidc-token", token: "e30.e30.c2ln" }],
    issuedAtUnixSeconds: 1_800_000_000,
  });
  assert.deepEqual(agent.questions, [`${binding}\n`]);
});

const good = nonce.toString("base64url");
const BAD_QUERIES: readonly [why: string, query: string][] = [
  ["missing", ""],
  ["empty", "?nonce="],
  ["too short", `?nonce=${randomBytes(31).toString("base64url")}`],
  ["too long", `?nonce=${randomBytes(33).toString("base64url")}`],
  ["padded", `?nonce=${good}=`],
  ["of the other alphabet", `?nonce=${"%2B".repeat(43)}`],
  ["not canonical", `?nonce=${"A".repeat(42)}B`],
  ["sent twice", `?nonce=${good}&nonce=${good}`],
  ["sent with something else", `?nonce=${good}&audience=x`],
];

test("a nonce that is not 32 bytes in base64url, alone, is refused before anybody is asked", async () => {
  await using agent = await startTokenAgent(() => "token e30.e30.c2ln\n");
  await using proxy = await startProxy("http://127.0.0.1:1", { tokenAgentSocket: agent.socketPath });
  for (const [why, query] of BAD_QUERIES) {
    assert.deepEqual(await refusal(proxy.url, `attestation${query}`), [400, "NONCE_INVALID"], why);
  }
  assert.deepEqual(agent.questions, []);
});

test("without a token agent, or when it refuses, there is no evidence", async () => {
  await using agent = await startTokenAgent(() => "error RATE_LIMITED slow down\n");
  await using without = await startProxy("http://127.0.0.1:1");
  await using refused = await startProxy("http://127.0.0.1:1", { tokenAgentSocket: agent.socketPath });
  for (const { url } of [without, refused]) {
    const [status, problem] = await ask(url, `attestation?nonce=${good}`);
    const { code, detail } = problem as Record<string, unknown>;
    assert.deepEqual(
      [status, code, detail],
      [
        503,
        "ATTESTATION_UNAVAILABLE",
        "the proxy has no evidence to show: it has no token agent, or got no token of it",
      ],
    );
  }
});

test("routes that are not there, the original's log level among them, and wrong methods are refused", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  for (const path of ["", "logLevel", "health/", "publicKey/x", "constructor", "Health", "..%2fhealth"]) {
    assert.deepEqual(await refusal(proxy.url, path), [404, "ROUTE_NOT_FOUND"], path);
  }
  const post = await fetch(`${proxy.url}/polaris-container/health`, { method: "POST", body: "x" });
  assert.equal(post.status, 405);
  assert.equal(post.headers.get("allow"), "GET, HEAD");
  assert.equal(post.headers.get("polaris-error"), "METHOD_NOT_ALLOWED");
  const head = await fetch(`${proxy.url}/polaris-container/health`, { method: "HEAD" });
  assert.deepEqual([head.status, await head.text()], [200, ""]);
  assert.equal(workload.seen.length, 0);
});

test("watching the proxy does not fill its log", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url, { logLevel: "info" });
  await ask(proxy.url, "health");
  await ask(proxy.url, "ready");
  assert.equal(proxy.logText(), "");
  await ask(proxy.url, "publicKey");
  assert.deepEqual(
    proxy.log().map(({ event, status }) => [event, status]),
    [["request", 200]],
  );
});
