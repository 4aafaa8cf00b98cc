import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { setImmediate } from "node:timers/promises";
import {
  computeBinding,
  computeDocumentBinding,
  createNonce,
  fetchAttestationDocument,
  hashPublicKey,
  parseAttestationDocument,
} from "./attestation-document.ts";

const NONCE = Buffer.alloc(32, 7);

const DOCUMENT = {
  version: 1,
  stack: "hello/default",
  algorithm: "RSA-OAEP-256+A256GCM",
  publicKey: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
  keyId: `sha256:${"0a".repeat(32)}`,
  keyOrigin: { kind: "ephemeral" },
  nonce: NONCE.toString("base64url"),
  binding: "0b".repeat(32),
  tlsPublicKeySha256: null,
  evidence: [{ type: "oidc-token", token: "aaa.bbb.ccc" }],
  issuedAtUnixSeconds: 1_800_000_000,
};

const sha256 = (bytes: Uint8Array): Buffer => createHash("sha256").update(bytes).digest();

test("binds stack, nonce and keys as SHA-256 over length-prefixed or fixed fields", async () => {
  const [spki, tlsSpki] = [randomBytes(550), randomBytes(91)];
  for (const stack of ["", "hello/default", "grüße/süd", "x".repeat(300)]) {
    const name = Buffer.from(stack, "utf8");
    const length = Buffer.alloc(2);
    length.writeUInt16BE(name.length);
    const domain = Buffer.from("polaris-key-binding-v1\0", "latin1");
    const expected = (tlsSlot: Buffer): Buffer =>
      sha256(Buffer.concat([domain, length, name, NONCE, sha256(spki), tlsSlot]));
    const input = { stack, nonce: NONCE, spki };
    assert.deepEqual(Buffer.from(await computeBinding(input)), expected(Buffer.alloc(32)));
    assert.deepEqual(Buffer.from(await computeBinding({ ...input, tlsSpki })), expected(sha256(tlsSpki)));
  }
});

test("binds to known bytes", async () => {
  const binding = await computeBinding({ stack: "hello/default", nonce: NONCE, spki: Buffer.from("spki") });
  assert.equal(
    Buffer.from(binding).toString("hex"),
    "e235688bc6b0f0e1e033ec1e9c7c2b03fe39f54a79caae0423713764afe055bf",
  );
  const tlsSpki = Buffer.from("tls spki");
  const withTls = { stack: "hello/default", nonce: NONCE, spki: Buffer.from("spki"), tlsSpki };
  assert.equal(
    Buffer.from(await computeBinding(withTls)).toString("hex"),
    "151973e45b0a0e3f8d01989fb239ce32dd4745229462d5b0f1558c41fb374479",
  );
});

test("computes from a document what its maker computed from the keys", async () => {
  const [spki, tlsSpki] = [randomBytes(550), randomBytes(91)];
  const tlsPublicKeySha256 = await hashPublicKey(tlsSpki);
  assert.equal(tlsPublicKeySha256, `sha256:${sha256(tlsSpki).toString("hex")}`);
  const input = { stack: "hello/default", nonce: NONCE, spki };
  for (const [document, binding] of [
    [{ ...DOCUMENT, tlsPublicKeySha256: null }, await computeBinding(input)],
    [{ ...DOCUMENT, tlsPublicKeySha256 }, await computeBinding({ ...input, tlsSpki })],
  ] as const) {
    assert.deepEqual(await computeDocumentBinding(document, spki), binding);
  }
});

test("refuses to bind a nonce that is not 32 bytes long or a stack that has no length", async () => {
  const spki = new Uint8Array();
  for (const nonce of [new Uint8Array(), new Uint8Array(31), new Uint8Array(33)]) {
    await assert.rejects(computeBinding({ stack: "a/b", nonce, spki }), TypeError);
  }
  await assert.rejects(computeBinding({ stack: "x".repeat(65536), nonce: NONCE, spki }), TypeError);
});

test("makes another nonce of 32 bytes each time", () => {
  const first = createNonce();
  assert.equal(first.length, 32);
  assert.notDeepEqual(first, createNonce());
});

test("reads a document of either key origin, without and with a TLS key", () => {
  assert.deepEqual(parseAttestationDocument(DOCUMENT), DOCUMENT);
  const keyOrigin = {
    kind: "google-kms",
    keyVersion: "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
  };
  assert.deepEqual(parseAttestationDocument({ ...DOCUMENT, keyOrigin }), { ...DOCUMENT, keyOrigin });
  const tlsPublicKeySha256 = `sha256:${"0c".repeat(32)}`;
  assert.deepEqual(parseAttestationDocument({ ...DOCUMENT, tlsPublicKeySha256 }), {
    ...DOCUMENT,
    tlsPublicKeySha256,
  });
});

test("refuses a document without one of its members, or with one more", async (t) => {
  for (const member of Object.keys(DOCUMENT)) {
    await t.test(`without ${member}`, () => {
      const { [member]: _, ...rest } = DOCUMENT as Record<string, unknown>;
      assert.throws(() => parseAttestationDocument(rest), {
        code: "EVIDENCE_MALFORMED",
        message: `attestation document: document has no member ${member}`,
      });
    });
  }
  assert.throws(() => parseAttestationDocument({ ...DOCUMENT, more: 1 }), {
    code: "EVIDENCE_MALFORMED",
    message: "attestation document: document has an unknown member",
  });
});

test("refuses members of another shape", async (t) => {
  const evidence = DOCUMENT.evidence[0]!;
  const cases: [string, object][] = [
    ["another version", { version: 2 }],
    ["a version as text", { version: "1" }],
    ["another algorithm", { algorithm: "RSA-OAEP+A128GCM" }],
    ["no stack", { stack: "" }],
    ["two lines of stack", { stack: "a\nb" }],
    ["a private key", { publicKey: "-----BEGIN PRIVATE KEY-----" }],
    ["a key id in upper case", { keyId: DOCUMENT.keyId.toUpperCase() }],
    ["a bare key id", { keyId: "0a".repeat(32) }],
    ["a short nonce", { nonce: DOCUMENT.nonce.slice(1) }],
    ["a nonce with stray bits", { nonce: `${DOCUMENT.nonce.slice(0, -1)}d` }],
    ["a binding in upper case", { binding: DOCUMENT.binding.toUpperCase() }],
    ["a bare hash of a TLS key", { tlsPublicKeySha256: "0c".repeat(32) }],
    ["a short hash of a TLS key", { tlsPublicKeySha256: `sha256:${"0c".repeat(31)}` }],
    ["a TLS key that is neither there nor null", { tlsPublicKeySha256: "" }],
    ["a TLS key of false", { tlsPublicKeySha256: false }],
    ["an unknown key origin", { keyOrigin: { kind: "azure-skr" } }],
    ["a key origin as text", { keyOrigin: "ephemeral" }],
    ["an ephemeral key with a version", { keyOrigin: { kind: "ephemeral", keyVersion: "1" } }],
    ["a KMS key without a version", { keyOrigin: { kind: "google-kms" } }],
    ["a KMS key of no project", { keyOrigin: { kind: "google-kms", keyVersion: "keys/1" } }],
    ["no evidence", { evidence: [] }],
    ["evidence that is not a list", { evidence }],
    ["two pieces of evidence", { evidence: [evidence, evidence] }],
    ["evidence of another type", { evidence: [{ ...evidence, type: "snp-report" }] }],
    ["evidence with an unknown member", { evidence: [{ ...evidence, more: 1 }] }],
    ["a token with blanks", { evidence: [{ ...evidence, token: "a b" }] }],
    ["an endless token", { evidence: [{ ...evidence, token: "a".repeat(65537) }] }],
    ["a time with a fraction", { issuedAtUnixSeconds: 1.5 }],
  ];
  for (const [name, change] of cases) {
    await t.test(name, () => {
      assert.throws(() => parseAttestationDocument({ ...DOCUMENT, ...change }), {
        code: "EVIDENCE_MALFORMED",
      });
    });
  }
  for (const json of [undefined, null, 1, "document", [DOCUMENT]]) {
    assert.throws(() => parseAttestationDocument(json), { code: "EVIDENCE_MALFORMED" });
  }
});

test("asks for evidence over the nonce in base64url", async (t) => {
  let asked: string | undefined;
  const url = await serve(t, (req, res) => {
    asked = req.url;
    res.end(JSON.stringify(DOCUMENT));
  });
  assert.deepEqual(await fetchAttestationDocument(`${url}/app`, NONCE), DOCUMENT);
  assert.equal(asked, `/app/polaris-container/attestation?nonce=${NONCE.toString("base64url")}`);
});

test("tells no evidence now, another answer and no endpoint apart, and repeats no more than the status", async (t) => {
  const answer = (status: number, body: string, headers = {}): Promise<string> =>
    serve(t, (_, res) => res.writeHead(status, headers).end(body));
  const says = (code: string) => ({ "polaris-error": code });
  const instead = "instead of an attestation document";
  const cases: [url: string, code: string, message: string][] = [
    ...(await Promise.all(
      ["ATTESTATION_UNAVAILABLE", "KEY_UNAVAILABLE", "KEY_RELEASE_DENIED"].map(
        async (code): Promise<[string, string, string]> => [
          await answer(503, "{}", says(code)),
          "ATTESTATION_UNAVAILABLE",
          `cannot give an attestation document now: status 503, ${code}`,
        ],
      ),
    )),
    [
      await answer(503, "planted", says("VERIFICATION_FAILED")),
      "EVIDENCE_MALFORMED",
      `answered with status 503 ${instead}`,
    ],
    [
      await answer(404, JSON.stringify(DOCUMENT)),
      "EVIDENCE_MALFORMED",
      `answered with status 404 ${instead}`,
    ],
    [await answer(200, "<html>"), "EVIDENCE_MALFORMED", `answered with status 200 and no JSON ${instead}`],
    [await answer(204, ""), "EVIDENCE_MALFORMED", `answered with status 204 and no JSON ${instead}`],
  ];
  for (const [url, code, message] of cases) {
    await assert.rejects(fetchAttestationDocument(url, NONCE), { code, message: `${url} ${message}` });
  }
  await assert.rejects(fetchAttestationDocument(await answer(200, "{}"), NONCE), {
    code: "EVIDENCE_MALFORMED",
  });
});

test("says ENDPOINT_UNREACHABLE with a hint if nobody answers or the answer breaks off", async (t) => {
  const cut = await serve(t, (_, res) => {
    res.writeHead(200, { "content-length": "1000" });
    res.write("{", () => res.destroy());
  });
  const closed = createServer().listen(0, "127.0.0.1");
  await once(closed, "listening");
  const { port } = closed.address() as AddressInfo;
  closed.close();
  await once(closed, "close");
  const hint = "check the URL, and that the endpoint runs and can be reached from here";
  const noHost = `http://${"x".repeat(64)}.invalid`;
  for (const [url, cause] of [
    [`http://127.0.0.1:${port}`, "ECONNREFUSED"],
    [cut, "UND_ERR_SOCKET"],
    [noHost, "ENOTFOUND"],
  ] as const) {
    await assert.rejects(fetchAttestationDocument(url, NONCE), {
      code: "ENDPOINT_UNREACHABLE",
      message: `cannot reach ${url} (${cause})`,
      hint,
    });
  }
});

test("stops reading an answer behind 1 MiB", async (t) => {
  const { promise: cut, resolve: tellCut } = Promise.withResolvers<void>();
  const endless = await serve(t, (_, res) => {
    const piece = Buffer.alloc(64 * 1024, "[");
    const more = (): void => {
      while (res.write(piece));
    };
    res.on("drain", more).on("close", tellCut);
    more();
  });
  await assert.rejects(fetchAttestationDocument(endless, NONCE), {
    code: "EVIDENCE_MALFORMED",
    message: `${endless} answered with status 200 and more than 1048576 bytes instead of an attestation document`,
  });
  await cut;

  const text = JSON.stringify(DOCUMENT).padEnd(1024 * 1024);
  const full = await serve(t, (_, res) => res.end(text));
  assert.deepEqual(await fetchAttestationDocument(full, NONCE), DOCUMENT);
  const tooLong = await serve(t, (_, res) => res.end(`${text} `));
  await assert.rejects(fetchAttestationDocument(tooLong, NONCE), { code: "EVIDENCE_MALFORMED" });
});

test("does not wait for ever, neither for an answer nor for its end", async (t) => {
  const silent = await serve(t, () => undefined);
  const unfinished = await serve(t, (_, res) => res.write("{"));
  for (const url of [silent, unfinished]) {
    await assert.rejects(fetchAttestationDocument(url, NONCE, { timeoutMs: 50 }), {
      code: "TIMEOUT",
      message: `${url} has not answered within 50 ms`,
    });
  }
});

test("gives a request 30 seconds unless told otherwise", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const never: typeof fetch = () => new Promise(() => undefined);
  const outcome = fetchAttestationDocument("http://127.0.0.1", NONCE, { fetch: never }).then(
    () => "answered",
    (error: unknown) => (error as { code: string }).code,
  );
  const state = async (): Promise<string> => await Promise.race([outcome, turns().then(() => "waits")]);
  t.mock.timers.tick(29_999);
  assert.equal(await state(), "waits");
  t.mock.timers.tick(1);
  assert.equal(await state(), "TIMEOUT");
});

/** Some turns of the event loop. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await setImmediate();
}

test("asks nobody for a URL that is not an endpoint's", async () => {
  await assert.rejects(fetchAttestationDocument("http://user:planted@127.0.0.1:1", NONCE), {
    code: "USAGE_INVALID",
    message: "URL of the endpoint has a user name or a password in it",
  });
});

test("does not follow an endpoint to another one", async (t) => {
  let visits = 0;
  const other = await serve(t, (_, res) => {
    visits++;
    res.end(JSON.stringify(DOCUMENT));
  });
  const url = await serve(t, (req, res) => res.writeHead(307, { location: other + req.url }).end());
  await assert.rejects(fetchAttestationDocument(url, NONCE), {
    code: "EVIDENCE_MALFORMED",
    message: `${url} answered with status 307 instead of an attestation document`,
  });
  assert.equal(visits, 0);
});

test("rejects with the signal's reason once it is aborted", async (t) => {
  const controller = new AbortController();
  const url = await serve(t, () => controller.abort(new Error("changed my mind")));
  await assert.rejects(fetchAttestationDocument(url, NONCE, { signal: controller.signal }), {
    message: "changed my mind",
  });
});

test("takes a deadline of the caller's for its reason, whichever that is", async (t) => {
  const reason = new DOMException("too late", "TimeoutError");
  const passed = fetchAttestationDocument("http://127.0.0.1:1", NONCE, { signal: AbortSignal.abort(reason) });
  await assert.rejects(passed, (error) => error === reason);

  const silent = await serve(t, () => undefined);
  const signal = AbortSignal.timeout(50);
  await assert.rejects(
    fetchAttestationDocument(silent, NONCE, { signal }),
    (error) => error === signal.reason,
  );
});

async function serve(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close().closeAllConnections());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
