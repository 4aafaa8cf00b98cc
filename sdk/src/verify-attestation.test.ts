import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { SignJWT } from "jose";
import { hashPublicKey } from "./attestation-document.ts";
import { CHECK_IDS, type CheckId } from "./check.ts";
import { createEphemeralKeyHandler } from "./key-handler.ts";
import { importPublicKey } from "./public-key.ts";
import { type Attestation, CLAIMS, createAttester, NOW } from "./testing/attester.ts";
import {
  type AttestationExpectations,
  failedChecks,
  type VerificationReport,
  verifyAttestation,
} from "./verify-attestation.ts";

const attester = await createAttester();
const makeKey = async () =>
  await importPublicKey(await createEphemeralKeyHandler({ modulusLength: 2048 }).publicKeyPem());
const [key, otherKey] = await Promise.all([makeKey(), makeKey()]);
const nonce = randomBytes(32);
const TLS_SPKI = Buffer.from("the SPKI of a TLS key");
const TLS_KEY = await hashPublicKey(TLS_SPKI);
const OTHER_TLS_KEY = `sha256:${"0c".repeat(32)}`;

/** Verifies what the attester says, with one thing changed on either side. */
async function verify(
  attestation: Partial<Attestation>,
  expectations: Partial<AttestationExpectations> = {},
  connectionKey?: string,
): Promise<VerificationReport> {
  return await verifyAttestation({
    document: await attester.attest({ key, nonce, ...attestation }),
    nonce,
    ...(connectionKey === undefined ? {} : { tlsPublicKeySha256: connectionKey }),
    expectations: { ...attester.expectations(), ...expectations },
    nowUnixSeconds: NOW,
  });
}

function policy(change: Partial<AttestationExpectations["claims"]>): Partial<AttestationExpectations> {
  return { claims: { ...attester.expectations().claims, ...change } };
}

function gce(change: object): Partial<Attestation> {
  return { claims: { submods: { gce: { ...CLAIMS.submods.gce, ...change } } } };
}

const SIMULATED = { hwmodel: "POLARIS_SIMULATED_NO_TEE", swname: "POLARIS_SIMULATED" };
const SIMULATED_POLICY = policy({ hwmodel: [SIMULATED.hwmodel], swname: SIMULATED.swname });

test("trusts an endpoint if every check holds, and gives its key", async () => {
  const report = await verify({});
  assert.deepEqual(
    report.checks.map(({ id, ok }) => [id, ok]),
    CHECK_IDS.map((id) => [id, true]),
  );
  assert.equal(report.trusted, true);
  assert.equal(report.simulated, false);
  assert.equal(report.publicKey?.keyId, key.keyId);
  assert.deepEqual(report.keyOrigin, { kind: "ephemeral" });
});

test("trusts a key of a key service if it has the expected fingerprint", async () => {
  const keyOrigin = { kind: "google-kms", keyVersion: "projects/p/cryptoKeyVersions/1" };
  const report = await verify({ document: { keyOrigin } }, { publicKeyFingerprint: key.keyId });
  assert.deepEqual(failedChecks(report), []);
  assert.deepEqual(report.keyOrigin, keyOrigin);
});

test("trusts a connection with the TLS key that the evidence is bound to", async () => {
  const report = await verify({ tlsSpki: TLS_SPKI }, { tls: "attested" }, TLS_KEY);
  assert.deepEqual(failedChecks(report), []);
  assert.deepEqual(
    report.checks.find((check) => check.id === "tls-key"),
    { id: "tls-key", ok: true, expected: TLS_KEY, actual: TLS_KEY },
  );
});

test("takes whatever is not a word for unbound as a demand for an attested TLS key", async () => {
  for (const tls of [undefined, "", "Unbound"]) {
    const report = await verify({}, { tls } as object, TLS_KEY);
    assert.deepEqual(failedChecks(report), ["tls-key"]);
  }
});

test("trusts a simulated machine only where that is accepted, and says so", async () => {
  const report = await verify({ claims: SIMULATED }, { ...SIMULATED_POLICY, acceptSimulated: true });
  assert.deepEqual(failedChecks(report), []);
  assert.equal(report.trusted, true);
  assert.equal(report.simulated, true);
});

test("accepts any of several hardware models, a zone and a debug status that fit", async () => {
  const narrowed = policy({
    hwmodel: ["GCP_INTEL_TDX", "GCP_AMD_SEV_SNP"],
    zone: "europe-west4-a",
    debugStatus: "enabled",
  });
  assert.deepEqual(failedChecks(await verify({}, narrowed)), []);
});

interface Refusal {
  readonly name: string;
  /** The one check that turns false. */
  readonly check: CheckId;
  readonly attestation?: Partial<Attestation>;
  readonly expectations?: Partial<AttestationExpectations>;
  readonly connectionKey?: string;
  readonly actual: string | RegExp;
}

const REFUSALS: Refusal[] = [
  {
    name: "evidence of an earlier verification",
    check: "nonce",
    attestation: { nonce: Buffer.alloc(32, 1) },
    actual: Buffer.alloc(32, 1).toString("base64url"),
  },
  {
    name: "a token that has expired",
    check: "token-time",
    attestation: { claims: { nbf: NOW - 7200, exp: NOW - 3600 } },
    actual: "valid from 2027-01-15T06:00:00.000Z to 2027-01-15T07:00:00.000Z",
  },
  {
    name: "a token that is not yet valid",
    check: "token-time",
    attestation: { claims: { nbf: NOW + 3600, exp: NOW + 7200 } },
    actual: "valid from 2027-01-15T09:00:00.000Z to 2027-01-15T10:00:00.000Z",
  },
  {
    name: "a token of another issuer",
    check: "issuer",
    attestation: { claims: { iss: "https://issuer.example.net" } },
    actual: "https://issuer.example.net",
  },
  {
    name: "a token for the token service",
    check: "audience",
    attestation: { claims: { aud: "https://sts.googleapis.com" } },
    actual: "https://sts.googleapis.com",
  },
  {
    name: "a token that is bound to something else",
    check: "key-binding",
    attestation: { claims: { eat_nonce: "ab".repeat(32) } },
    actual: /^(ab){32}, document says [0-9a-f]{64}$/,
  },
  {
    name: "a document that names another binding than its token",
    check: "key-binding",
    attestation: { document: { binding: "ab".repeat(32) } },
    actual: /^[0-9a-f]{64}, document says (ab){32}$/,
  },
  {
    name: "a token without a nonce",
    check: "key-binding",
    attestation: { claims: { eat_nonce: [] } },
    actual: /^, document says [0-9a-f]{64}$/,
  },
  {
    name: "a swapped public key, with its own name",
    check: "key-binding",
    attestation: { document: { publicKey: otherKey.pem, keyId: otherKey.keyId } },
    actual: /^[0-9a-f]{64}$/,
  },
  {
    name: "a key under the name of another one",
    check: "public-key",
    attestation: { document: { keyId: otherKey.keyId } },
    actual: `ephemeral key ${key.keyId}, named ${otherKey.keyId}`,
  },
  {
    name: "a key that is bound, but not the expected one",
    check: "public-key",
    attestation: { key: otherKey },
    expectations: { publicKeyFingerprint: key.keyId },
    actual: `ephemeral key ${otherKey.keyId}`,
  },
  {
    name: "a key of a key service where an ephemeral one is expected",
    check: "public-key",
    attestation: { document: { keyOrigin: { kind: "google-kms", keyVersion: "projects/p/1" } } },
    actual: `google-kms key ${key.keyId}`,
  },
  {
    name: "a connection with another TLS key than the attested one",
    check: "tls-key",
    attestation: { tlsSpki: TLS_SPKI },
    expectations: { tls: "attested" },
    connectionKey: OTHER_TLS_KEY,
    actual: OTHER_TLS_KEY,
  },
  {
    name: "an attested TLS key where nobody looked at the connection's",
    check: "tls-key",
    attestation: { tlsSpki: TLS_SPKI },
    expectations: { tls: "attested" },
    actual: "none: nobody said which the connection showed",
  },
  {
    name: "a document without a TLS key where one has to be attested",
    check: "tls-key",
    expectations: { tls: "attested" },
    connectionKey: TLS_KEY,
    actual: `none in the document; the connection showed ${TLS_KEY}`,
  },
  {
    name: "an attested TLS key where none is expected",
    check: "tls-key",
    attestation: { tlsSpki: TLS_SPKI },
    connectionKey: TLS_KEY,
    actual: TLS_KEY,
  },
  {
    name: "a document that names the TLS key of the connection, which its token is not bound to",
    check: "key-binding",
    attestation: { document: { tlsPublicKeySha256: TLS_KEY } },
    expectations: { tls: "attested" },
    connectionKey: TLS_KEY,
    actual: /^[0-9a-f]{64}$/,
  },
  {
    name: "a document that hides the TLS key which its token is bound to",
    check: "key-binding",
    attestation: { tlsSpki: TLS_SPKI, document: { tlsPublicKeySha256: null } },
    actual: /^[0-9a-f]{64}$/,
  },
  {
    name: "another stack with good evidence of its own",
    check: "stack",
    attestation: { stack: "hello/staging" },
    actual: "hello/staging",
  },
  {
    name: "another hardware model",
    check: "tee",
    attestation: { claims: { hwmodel: "GCP_SHIELDED_VM" } },
    actual: "GCP_SHIELDED_VM",
  },
  {
    name: "a simulated machine, also where its model is the expected one",
    check: "tee",
    attestation: { claims: SIMULATED },
    expectations: SIMULATED_POLICY,
    actual: "POLARIS_SIMULATED_NO_TEE (simulated)",
  },
  {
    name: "a machine whose software alone says that it is simulated",
    check: "tee",
    attestation: { claims: { swname: SIMULATED.swname } },
    expectations: policy({ swname: SIMULATED.swname }),
    actual: "GCP_AMD_SEV_SNP (simulated)",
  },
  {
    name: "other software",
    check: "software",
    attestation: { claims: { swname: "CONFIDENTIAL_SPACE" } },
    actual: "CONFIDENTIAL_SPACE",
  },
  {
    name: "a machine without secure boot",
    check: "secure-boot",
    attestation: { claims: { secboot: false } },
    actual: "off",
  },
  {
    name: "a machine that can be debugged, where that is checked",
    check: "debug",
    expectations: policy({ debugStatus: "disabled-since-boot" }),
    actual: "enabled",
  },
  {
    name: "another project",
    check: "project",
    attestation: gce({ project_number: "470652426306" }),
    actual: "470652426306",
  },
  {
    name: "another instance",
    check: "instance",
    attestation: gce({ instance_id: "7330000000000000002" }),
    actual: "7330000000000000002",
  },
  {
    name: "another zone, where that is checked",
    check: "instance",
    attestation: gce({ zone: "us-central1-a" }),
    expectations: policy({ zone: "europe-west4-a" }),
    actual: "7330000000000000001 in us-central1-a",
  },
  {
    name: "another service account",
    check: "service-account",
    attestation: { claims: { google_service_accounts: ["other@project.iam.gserviceaccount.com"] } },
    actual: "other@project.iam.gserviceaccount.com",
  },
  {
    name: "no service account",
    check: "service-account",
    attestation: { claims: { google_service_accounts: [] } },
    actual: "",
  },
];

for (const { name, check: id, attestation, expectations, connectionKey, actual } of REFUSALS) {
  test(`refuses ${name}: only "${id}" is false`, async () => {
    const report = await verify(attestation ?? {}, expectations, connectionKey);
    assert.deepEqual(failedChecks(report), [id]);
    assert.equal(report.trusted, false);
    assert.equal(report.publicKey, undefined);
    assert.equal(report.keyOrigin, undefined);
    const text = report.checks.find((check) => check.id === id)!.actual;
    if (typeof actual === "string") assert.equal(text, actual);
    else assert.match(text, actual);
  });
}

test("has a refusal for every check that can fail alone", () => {
  const alone = new Set([...REFUSALS.map((refusal) => refusal.check), "document", "token-signature"]);
  assert.deepEqual(
    CHECK_IDS.filter((id) => !alone.has(id)),
    [],
  );
});

test("looks into no claim of a token that the issuer did not sign", async (t) => {
  const document = await attester.attest({ key, nonce });
  const hs256 = await new SignJWT(CLAIMS).setProtectedHeader({ alg: "HS256" }).sign(Buffer.from(key.pem));
  const [header, payload] = (await attester.sign(CLAIMS)).split(".");
  const none = Buffer.from('{"alg":"none"}').toString("base64url");
  const tokens: Record<string, string> = {
    "of another key": await (await createAttester()).sign(CLAIMS),
    "with HS256": hs256,
    "with alg none": `${none}.${payload}.`,
    "without a signature": `${header}.${payload}.`,
    "without the claims of a machine": await attester.sign({ iss: CLAIMS.iss }),
    "that is no token": "abc",
  };
  for (const [name, token] of Object.entries(tokens)) {
    await t.test(name, async () => {
      const evidence = [{ type: "oidc-token", token }];
      const report = await verifyAttestation({
        document: { ...document, evidence },
        nonce,
        expectations: attester.expectations(),
        nowUnixSeconds: NOW,
      });
      assert.equal(report.trusted, false);
      assert.equal(report.simulated, false);
      assert.deepEqual(
        report.checks.filter((check) => check.ok).map((check) => check.id),
        ["document", "nonce", "public-key", "tls-key", "stack"],
      );
      const unchecked = report.checks.filter((check) => check.actual.startsWith("not checked: "));
      assert.deepEqual(failedChecks(report), ["token-signature", ...unchecked.map((check) => check.id)]);
    });
  }
});

test("checks nothing of a document that it cannot read", async (t) => {
  const document = await attester.attest({ key, nonce });
  const documents: Record<string, unknown> = {
    "no object": "document",
    "another version": { ...document, version: 2 },
    "an unknown member": { ...document, more: 1 },
    "a key that is none": { ...document, publicKey: "-----BEGIN PUBLIC KEY-----" },
  };
  for (const [name, unreadable] of Object.entries(documents)) {
    await t.test(name, async () => {
      const report = await verifyAttestation({
        document: unreadable,
        nonce,
        expectations: attester.expectations(),
        nowUnixSeconds: NOW,
      });
      assert.deepEqual(failedChecks(report), [...CHECK_IDS]);
      const [first, ...others] = report.checks;
      assert.equal(first?.id, "document");
      assert.ok(others.every((check) => check.actual === "not checked: no readable document"));
    });
  }
});

test("says what was expected, also of the checks that hold", async () => {
  const { checks } = await verify({}, policy({ zone: "europe-west4-a" }));
  const expected = Object.fromEntries(checks.map((check) => [check.id, check.expected]));
  assert.equal(expected["public-key"], "ephemeral key: born in this start, bound by evidence");
  assert.equal(expected["tls-key"], "no TLS key bound to the evidence");
  assert.equal(expected["tee"], "GCP_AMD_SEV_SNP");
  assert.equal(expected["secure-boot"], "on");
  assert.equal(expected["debug"], "any");
  assert.equal(expected["instance"], "7330000000000000001 in europe-west4-a");
  assert.equal(expected["token-time"], "valid at 2027-01-15T08:00:00.000Z");
});

test("asks an endpoint with a fresh nonce each time", async (t) => {
  const asked: string[] = [];
  const server = createServer((req, res) => {
    const text = new URL(req.url!, "http://proxy").searchParams.get("nonce")!;
    asked.push(text);
    attester.attest({ key, nonce: Buffer.from(text, "base64url") }).then(
      (document) => res.end(JSON.stringify(document)),
      (error: unknown) => res.destroy(error as Error),
    );
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close().closeAllConnections());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const options = { url, expectations: attester.expectations(), nowUnixSeconds: NOW };
  assert.equal((await verifyAttestation(options)).trusted, true);
  assert.equal((await verifyAttestation(options)).trusted, true);
  assert.equal((await verifyAttestation({ ...options, nonce })).trusted, true);
  assert.equal(new Set(asked).size, 3);
  assert.equal(asked[2], nonce.toString("base64url"));
});

test("reports bad evidence of an endpoint, but throws where there is none", async (t) => {
  const serve = async (status: number, body: string, headers = {}): Promise<string> => {
    const server = createServer((_, res) => res.writeHead(status, headers).end(body)).listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => server.close().closeAllConnections());
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  const expectations = attester.expectations();
  const report = await verifyAttestation({ url: await serve(200, "{}"), expectations });
  assert.deepEqual(failedChecks(report), [...CHECK_IDS]);

  for (const url of [await serve(200, "<html>"), await serve(404, "{}")]) {
    await assert.rejects(verifyAttestation({ url, expectations }), { code: "EVIDENCE_MALFORMED" });
  }
  await assert.rejects(verifyAttestation({ url: "127.0.0.1:3000", expectations }), { code: "USAGE_INVALID" });
  const unavailable = await serve(503, "{}", { "polaris-error": "ATTESTATION_UNAVAILABLE" });
  await assert.rejects(verifyAttestation({ url: unavailable, expectations }), {
    code: "ATTESTATION_UNAVAILABLE",
  });
  await assert.rejects(verifyAttestation({ url: "http://127.0.0.1:1", expectations }), {
    code: "ENDPOINT_UNREACHABLE",
  });
});

test("verifies by the clock unless told otherwise", async () => {
  const now = Math.floor(Date.now() / 1000);
  const document = await attester.attest({ key, nonce, claims: { nbf: now, exp: now + 3600 } });
  const expectations = attester.expectations();
  assert.equal((await verifyAttestation({ document, nonce, expectations })).trusted, true);
  const late = await verifyAttestation({ document, nonce, expectations, nowUnixSeconds: now + 7200 });
  assert.deepEqual(failedChecks(late), ["token-time"]);
});
