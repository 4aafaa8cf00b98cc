import assert from "node:assert/strict";
import { createHash, generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { fetchPublicKey, formatPublicKeyPem, importPublicKey } from "./public-key.ts";

const SPKI_PEM = { type: "spki", format: "pem" } as const;
const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const pem = publicKey.export(SPKI_PEM);
const der = publicKey.export({ type: "spki", format: "der" });
const keyId = `sha256:${createHash("sha256").update(der).digest("hex")}`;

test("names a key by the SHA-256 of its SPKI, however the PEM is wrapped", async () => {
  const variants = [
    pem,
    pem.trimEnd(),
    pem.replaceAll("\n", "\r\n"),
    `\n${pem}\n\n`,
    `-----BEGIN PUBLIC KEY-----${der.toString("base64")}-----END PUBLIC KEY-----`,
  ];
  for (const variant of variants) {
    const key = await importPublicKey(variant);
    assert.equal(key.keyId, keyId);
    assert.equal(key.pem, pem);
    assert.deepEqual(Buffer.from(key.spki), der);
  }
  assert.equal(formatPublicKeyPem(der), pem);
});

test("refuses what is not one RSA public key of 2048 to 8192 bits", async (t) => {
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export(SPKI_PEM);
  const pss = generateKeyPairSync("rsa-pss", { modulusLength: 2048 }).publicKey.export(SPKI_PEM);
  const weak = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export(SPKI_PEM);
  const cases: Record<string, [string, RegExp]> = {
    "no text": ["", /not a PEM block of type PUBLIC KEY$/],
    "a PKCS #1 block": [publicKey.export({ type: "pkcs1", format: "pem" }), /not a PEM block/],
    "two blocks": [pem + pem, /not a PEM block/],
    "text before the block": [`key:\n${pem}`, /not a PEM block/],
    "broken base64": [pem.replace("MII", "M=I"), /not a PEM block/],
    "other bytes": [formatPublicKeyPem(Buffer.from("not DER")), /not an RSA key$/],
    "a cut key": [formatPublicKeyPem(der.subarray(0, -1)), /not an RSA key$/],
    "an EC key": [ec, /not an RSA key$/],
    "an RSA-PSS key": [pss, /not an RSA key$/],
    "an RSA key of 1024 bits": [weak, /has 1024 bits, expected 2048 to 8192$/],
  };
  for (const [name, [text, message]] of Object.entries(cases)) {
    await t.test(name, async () => {
      await assert.rejects(importPublicKey(text), { code: "PUBLIC_KEY_INVALID", message });
    });
  }
});

test("asks an endpoint for its key, below the path where the proxy is mounted", async (t) => {
  const asked: (string | undefined)[] = [];
  const url = await serve(t, (req, res) => {
    asked.push(req.url);
    res.end(JSON.stringify({ publicKey: pem }));
  });
  assert.equal((await fetchPublicKey(url)).keyId, keyId);
  assert.equal((await fetchPublicKey(`${url}/app/?x=1#y`)).keyId, keyId);
  assert.deepEqual(asked, ["/polaris-container/publicKey", "/app/polaris-container/publicKey"]);
});

test("says why an endpoint has no key", async (t) => {
  const answer = (status: number, body: string, headers = {}): Promise<string> =>
    serve(t, (_, res) => res.writeHead(status, headers).end(body));
  const cases: [string, string][] = [
    [await answer(200, "{}"), "PUBLIC_KEY_INVALID"],
    [await answer(200, "null"), "PUBLIC_KEY_INVALID"],
    [await answer(200, "<html>"), "EVIDENCE_MALFORMED"],
    [await answer(404, JSON.stringify({ publicKey: pem })), "EVIDENCE_MALFORMED"],
    [await answer(302, "", { location: "http://127.0.0.1:1/" }), "EVIDENCE_MALFORMED"],
    [await answer(503, "{}", { "polaris-error": "KEY_RELEASE_DENIED" }), "KEY_UNAVAILABLE"],
    ["http://127.0.0.1:1", "ENDPOINT_UNREACHABLE"],
  ];
  for (const [url, code] of cases) await assert.rejects(fetchPublicKey(url), { code });
});

async function serve(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close().closeAllConnections());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
