import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync, sign as signBytes } from "node:crypto";
import { test } from "node:test";
import { SignJWT } from "jose";
import { ATTESTATION_AUDIENCE } from "./attestation-document.ts";
import { CLOCK_TOLERANCE_SECONDS, verifyAttestationToken } from "./attestation-token.ts";
import { CLAIMS, createAttester, ISSUER, NOW } from "./testing/attester.ts";

const attester = await createAttester();
const policy = {
  issuer: ISSUER,
  audience: ATTESTATION_AUDIENCE,
  jwks: attester.jwks,
  nowUnixSeconds: NOW,
};

function invalid(reason: string): object {
  return { code: "TOKEN_INVALID", details: { reason } };
}

test("gives the typed claims of a token that holds", async () => {
  assert.deepEqual(await verifyAttestationToken(await attester.sign(CLAIMS), policy), {
    issuer: ISSUER,
    audience: ATTESTATION_AUDIENCE,
    subject: CLAIMS.sub,
    nonces: ["00".repeat(32)],
    notBeforeUnixSeconds: NOW,
    expiresAtUnixSeconds: NOW + 3600,
    hwmodel: "GCP_AMD_SEV_SNP",
    swname: "GCE",
    secureBoot: true,
    debugStatus: "enabled",
    zone: "europe-west4-a",
    projectId: "project",
    projectNumber: "470652426305",
    instanceName: "vm",
    instanceId: "7330000000000000001",
    serviceAccounts: ["vm@project.iam.gserviceaccount.com"],
  });
});

test("reads several nonces as a list", async () => {
  const token = await attester.sign({ ...CLAIMS, eat_nonce: ["first", "second"] });
  assert.deepEqual((await verifyAttestationToken(token, policy)).nonces, ["first", "second"]);
});

test("finds the issuer's key by its id among several", async () => {
  const other = await createAttester("signer-2");
  const jwks = { keys: [...other.jwks.keys, ...attester.jwks.keys] };
  const claims = await verifyAttestationToken(await attester.sign(CLAIMS), { ...policy, jwks });
  assert.equal(claims.issuer, ISSUER);
});

test("refuses a token that no key of the issuer signed with RS256", async (t) => {
  const token = await attester.sign(CLAIMS);
  const [header, payload, signature] = token.split(".") as [string, string, string];
  const encode = (json: object): string => Buffer.from(JSON.stringify(json)).toString("base64url");
  const issuerKey = createPublicKey({ key: attester.jwks.keys[0]!, format: "jwk" });
  const pem = issuerKey.export({ type: "spki", format: "pem" });
  const stranger = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const strangerJwk = stranger.publicKey.export({ format: "jwk" });
  const signedBy = (protectedHeader: { alg: string } & Record<string, unknown>): string => {
    const input = `${encode(protectedHeader)}.${payload}`;
    return `${input}.${signBytes("sha256", Buffer.from(input), stranger.privateKey).toString("base64url")}`;
  };
  const cases: Record<string, string> = {
    "another key under the same id": await (await createAttester()).sign(CLAIMS),
    "another key under another id": await (await createAttester("signer-2")).sign(CLAIMS),
    "a key that the token brings along": signedBy({ alg: "RS256", jwk: strangerJwk }),
    "a key that the token points at": signedBy({ alg: "RS256", jku: "http://127.0.0.1:1/jwks" }),
    "alg none without a signature": `${encode({ alg: "none", kid: "signer-1" })}.${payload}.`,
    "alg none with the old signature": `${encode({ alg: "none" })}.${payload}.${signature}`,
    "HS256 with the public key as the secret": await new SignJWT(CLAIMS)
      .setProtectedHeader({ alg: "HS256", kid: "signer-1" })
      .sign(Buffer.from(pem)),
    "other claims under the signature": `${header}.${encode({ ...CLAIMS, secboot: false })}.${signature}`,
    "another header over the signature": `${encode({ alg: "RS256", kid: "signer-1" })}.${payload}.${signature}`,
    "no signature": `${header}.${payload}.`,
  };
  for (const [name, unverifiedToken] of Object.entries(cases)) {
    await t.test(name, async () => {
      await assert.rejects(verifyAttestationToken(unverifiedToken, policy), invalid("signature"));
    });
  }
});

test("refuses every algorithm but RS256, also by the issuer's own key", async () => {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwks = { keys: [{ ...publicKey.export({ format: "jwk" }), kty: "RSA" }] };
  const signWith = (alg: string): Promise<string> =>
    new SignJWT(CLAIMS).setProtectedHeader({ alg }).sign(privateKey);
  await verifyAttestationToken(await signWith("RS256"), { ...policy, jwks });
  for (const alg of ["RS384", "RS512", "PS256"]) {
    const token = await signWith(alg);
    await assert.rejects(verifyAttestationToken(token, { ...policy, jwks }), invalid("signature"));
  }
});

test("refuses an extension that it does not understand", async () => {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const header = Buffer.from(JSON.stringify({ alg: "RS256", crit: ["exp"], exp: 1 })).toString("base64url");
  const input = `${header}.${Buffer.from(JSON.stringify(CLAIMS)).toString("base64url")}`;
  const token = `${input}.${signBytes("sha256", Buffer.from(input), privateKey).toString("base64url")}`;
  const jwks = { keys: [{ ...publicKey.export({ format: "jwk" }), kty: "RSA" }] };
  await assert.rejects(verifyAttestationToken(token, { ...policy, jwks }), invalid("signature"));
});

test("refuses what is not a compact JWS", async () => {
  for (const text of ["", "a", "a.b", "a.b.c", "a.b.c.d", "..", `${await attester.sign(CLAIMS)}.`]) {
    await assert.rejects(verifyAttestationToken(text, policy), invalid("malformed"), text);
  }
});

test("refuses claims of another shape", async (t) => {
  const { gce } = CLAIMS.submods;
  const changes: Record<string, object> = {
    "no issuer": { iss: undefined },
    "a list of audiences, also with ours": { aud: [ATTESTATION_AUDIENCE] },
    "no subject": { sub: undefined },
    "no nonce": { eat_nonce: undefined },
    "a nonce that is a number": { eat_nonce: [1] },
    "no start": { nbf: undefined },
    "no end": { exp: undefined },
    "an end as text": { exp: String(NOW + 3600) },
    "an end after all time": { exp: 1e300 },
    "secure boot as text": { secboot: "true" },
    "no hardware model": { hwmodel: undefined },
    "no debug status": { dbgstat: undefined },
    "no submodules": { submods: undefined },
    "a list of submodules": { submods: [CLAIMS.submods] },
    "no instance": { submods: { gce: { ...gce, instance_id: undefined } } },
    "an instance as a number": { submods: { gce: { ...gce, instance_id: 7 } } },
    "one service account as text": { google_service_accounts: "vm@project.iam.gserviceaccount.com" },
  };
  for (const [name, change] of Object.entries(changes)) {
    await t.test(name, async () => {
      const token = await attester.sign({ ...CLAIMS, ...change });
      await assert.rejects(verifyAttestationToken(token, policy), invalid("malformed"));
    });
  }
});

test("refuses another issuer, also one that differs by a slash", async () => {
  for (const iss of ["https://issuer.example/", "http://issuer.example", "https://ISSUER.example", ""]) {
    const token = await attester.sign({ ...CLAIMS, iss });
    await assert.rejects(verifyAttestationToken(token, policy), invalid("issuer"));
  }
});

test("refuses a token for another audience", async () => {
  for (const aud of ["https://sts.googleapis.com", "polaris-attestation-v2", ""]) {
    const token = await attester.sign({ ...CLAIMS, aud });
    await assert.rejects(verifyAttestationToken(token, policy), invalid("audience"));
  }
});

test("holds from nbf to exp, give or take the clock tolerance", async () => {
  const token = await attester.sign(CLAIMS);
  const at = (nowUnixSeconds: number): Promise<unknown> =>
    verifyAttestationToken(token, { ...policy, nowUnixSeconds });
  const first = NOW - CLOCK_TOLERANCE_SECONDS;
  const last = NOW + 3600 + CLOCK_TOLERANCE_SECONDS;
  await at(first);
  await at(last - 1);
  await assert.rejects(at(first - 1), invalid("time"));
  await assert.rejects(at(last), invalid("time"));
});
