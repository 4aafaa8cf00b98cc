import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { createIssuerKeysLoader } from "./issuer-keys.ts";

interface FakeIssuer {
  readonly url: string;
  readonly requests: string[];
  documents: Record<string, unknown>;
}

async function startIssuer(t: TestContext): Promise<FakeIssuer> {
  const server = createServer((request, response) => {
    issuer.requests.push(request.url ?? "");
    const document = issuer.documents[request.url ?? ""];
    response.statusCode = document === undefined ? 404 : 200;
    response.end(JSON.stringify(document ?? {}));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const issuer: FakeIssuer = {
    url,
    requests: [],
    documents: {
      "/.well-known/openid-configuration": { issuer: url, jwks_uri: `${url}/keys` },
      "/keys": { keys: [{ kty: "RSA", n: "AQAB", e: "AQAB" }] },
    },
  };
  return issuer;
}

test("keys come by discovery, with or without a slash at the end, and are kept for five minutes", async (t) => {
  const issuer = await startIssuer(t);
  let nowMs = 0;
  const load = createIssuerKeysLoader(() => nowMs);
  const keys = { keys: [{ kty: "RSA", n: "AQAB", e: "AQAB" }] };
  assert.deepEqual(await load(`${issuer.url}/`), keys);
  nowMs = 299_999;
  assert.deepEqual(await load(`${issuer.url}/`), keys);
  assert.deepEqual(issuer.requests, ["/.well-known/openid-configuration", "/keys"]);
  nowMs = 300_000;
  await load(`${issuer.url}/`);
  assert.equal(issuer.requests.length, 4);
});

test("an issuer that is somebody else, gives no keys or is far and in the clear is refused", async (t) => {
  const issuer = await startIssuer(t);
  const discovery = "/.well-known/openid-configuration";
  const rows: [Record<string, unknown>, RegExp][] = [
    [{ [discovery]: { issuer: "https://other.example", jwks_uri: `${issuer.url}/keys` } }, /another one/],
    [{ [discovery]: { issuer: issuer.url, jwks_uri: "http://192.0.2.1/keys" } }, /HTTPS/],
    [{ [discovery]: { issuer: issuer.url, jwks_uri: "file:///keys" } }, /HTTPS/],
    [{ [discovery]: { issuer: issuer.url } }, /jwks_uri/],
    [{ [discovery]: undefined }, /answered 404/],
    [{ "/keys": { keys: "none" } }, /keys/],
    [{ "/keys": { keys: [], padding: "x".repeat(300_000) } }, /too long/],
  ];
  const { documents } = issuer;
  for (const [changed, message] of rows) {
    issuer.documents = { ...documents, ...changed };
    await assert.rejects(createIssuerKeysLoader(() => 0)(issuer.url), { message });
  }
  await assert.rejects(createIssuerKeysLoader(() => 0)("http://issuer.example"), { message: /HTTPS/ });
});
