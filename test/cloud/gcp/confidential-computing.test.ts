import assert from "node:assert/strict";
import { test } from "node:test";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { attest, AUDIENCE, VM } from "./attestation-fixture.ts";
import { GOOGLE_ISSUER } from "./attestation-issuer.ts";
import type { Evidence } from "./confidential-computing.ts";
import { GoogleError } from "./google-error.ts";
import { DISCOVERY_MISSING, PROJECT, startTestBox } from "./box-fixture.ts";

const LOCATION = `/v1/projects/${PROJECT}/locations/europe-west4`;
const TPM = {
  quotes: [{ hashAlgo: 11, pcrValues: { "0": "AAAA", "7": "AQID" }, rawQuote: "AA==", rawSignature: "AA==" }],
  tcgEventLog: "AA==",
  akCert: "AA==",
  certChain: ["AA=="],
};

test("a token is signed by keys that the issuer's endpoint names", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startTestBox(t, { iam: { verifyAttestation: async () => VM } });
  const nonce = "a nonce of the client";
  const token = await attest(box, { audience: "polaris-client", nonce: [nonce] });
  const discovery = await box.call("attestation", "GET", "/.well-known/openid-configuration", {
    token: null,
  });
  assert.equal(discovery.body.issuer, GOOGLE_ISSUER);
  const { payload } = await jwtVerify(token, createRemoteJWKSet(new URL(discovery.body.jwks_uri)), {
    issuer: GOOGLE_ISSUER,
    audience: "polaris-client",
    currentDate: new Date(box.clock.nowMs),
  });
  const { sub, eat_nonce: eatNonce, hwmodel, secboot, swname } = payload;
  assert.deepEqual(
    { sub, eatNonce, hwmodel, secboot, swname },
    {
      sub: `https://www.googleapis.com/compute/v1/projects/${PROJECT}/zones/europe-west4-a/instances/polaris-vm`,
      eatNonce: nonce,
      hwmodel: "GCP_AMD_SEV_SNP",
      secboot: true,
      swname: "GCE",
    },
  );
  const plain = await jwtVerify(await attest(box, {}), createRemoteJWKSet(new URL(discovery.body.jwks_uri)), {
    currentDate: new Date(box.clock.nowMs),
  });
  assert.equal(plain.payload.aud, "https://sts.googleapis.com");
});

test(
  "the verifier sees the evidence, the nonce and the credentials",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const seen: Evidence[] = [];
    const box = await startTestBox(t, {
      iam: {
        verifyAttestation: async (evidence) => {
          seen.push(evidence);
          return VM;
        },
      },
    });
    const challenge = await box.make("confidentialcomputing", "POST", `${LOCATION}/challenges`, {});
    assert.equal(Date.parse(challenge.expireTime), box.clock.nowMs + 3600_000);
    await box.make("confidentialcomputing", "POST", `/v1/${challenge.name}:verifyAttestation`, {
      tpmAttestation: TPM,
      gcpCredentials: { serviceAccountIdTokens: ["jwt"] },
      sevSnpAttestation: { report: "AAAA", auxBlob: "" },
    });
    assert.equal(seen.length, 1);
    assert.equal(seen[0]?.challenge, challenge.name);
    assert.equal(Buffer.from(seen[0]?.nonce ?? []).toString("base64"), challenge.tpmNonce);
    assert.deepEqual(seen[0]?.request.gcpCredentials?.serviceAccountIdTokens, ["jwt"]);
    assert.deepEqual(seen[0]?.request.tpmAttestation.quotes[0]?.pcrValues, { "0": "AAAA", "7": "AQID" });
  },
);

test(
  "a challenge works once and for an hour, also where the evidence was refused",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    let refuses = true;
    const box = await startTestBox(t, {
      iam: {
        verifyAttestation: async () => {
          if (refuses) throw new GoogleError("INVALID_ARGUMENT", "the quote is not over the nonce");
          return VM;
        },
      },
    });
    const verify = async (name: string): Promise<string> => {
      const json = { tpmAttestation: TPM };
      const answer = await box.call("confidentialcomputing", "POST", `/v1/${name}:verifyAttestation`, {
        json,
      });
      return answer.status === 200 ? "token" : answer.body.error.message;
    };
    const first = await box.make("confidentialcomputing", "POST", `${LOCATION}/challenges`, {});
    assert.equal(await verify(first.name), "the quote is not over the nonce");
    refuses = false;
    assert.match(await verify(first.name), /has already been used/);
    const second = await box.make("confidentialcomputing", "POST", `${LOCATION}/challenges`, {});
    assert.equal(await verify(second.name), "token");
    assert.match(await verify(second.name), /has already been used/);
    const third = await box.make("confidentialcomputing", "POST", `${LOCATION}/challenges`, {});
    box.clock.nowMs += 3600_000;
    assert.match(await verify(third.name), /has expired/);
    assert.match(await verify(third.name.replace(/.{4}$/, "0000")), /was not found/);
  },
);

const refusals: readonly (readonly [name: string, body: object, message: RegExp])[] = [
  ["no evidence of the TPM", {}, /tpmAttestation/],
  ["unknown field", { tpmAttestation: TPM, claims: {} }, /claims/],
  ["quote that is not base64", { tpmAttestation: { ...TPM, akCert: "*" } }, /base64/],
  [
    "evidence of two kinds of machine",
    { tpmAttestation: TPM, tdCcel: {}, sevSnpAttestation: {} },
    /only one of/,
  ],
  [
    "nonce of 7 bytes",
    { tpmAttestation: TPM, tokenOptions: { audience: "a", nonce: ["x".repeat(7)] } },
    /nonce/,
  ],
  [
    "nonce of 89 bytes",
    { tpmAttestation: TPM, tokenOptions: { audience: "a", nonce: ["x".repeat(89)] } },
    /nonce/,
  ],
  [
    "seven nonces",
    {
      tpmAttestation: TPM,
      tokenOptions: { audience: "a", nonce: Array.from({ length: 7 }, () => "x".repeat(10)) },
    },
    /at most 6/,
  ],
  [
    "nonce without an audience",
    { tpmAttestation: TPM, tokenOptions: { nonce: ["x".repeat(10)] } },
    /audience/,
  ],
  [
    "audience of 513 bytes",
    { tpmAttestation: TPM, tokenOptions: { audience: "a".repeat(513) } },
    /512 bytes/,
  ],
];

test("Confidential Computing refuses what its messages cannot be", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startTestBox(t, { iam: { verifyAttestation: async () => VM } });
  const { name } = await box.make("confidentialcomputing", "POST", `${LOCATION}/challenges`, {});
  for (const [title, json, message] of refusals) {
    await t.test(title, async () => {
      const answer = await box.call("confidentialcomputing", "POST", `/v1/${name}:verifyAttestation`, {
        json,
      });
      assert.deepEqual([answer.status, answer.body.error.status], [400, "INVALID_ARGUMENT"]);
      assert.match(answer.body.error.message, message);
    });
  }
  await t.test("token of another kind", async () => {
    const json = { tpmAttestation: TPM, tokenOptions: { audience: "a", tokenType: "TOKEN_TYPE_PKI" } };
    const answer = await box.call("confidentialcomputing", "POST", `/v1/${name}:verifyAttestation`, { json });
    assert.equal(answer.status, 501);
  });
  await t.test("location that is none", async () => {
    const path = `/v1/projects/${PROJECT}/locations/moon`;
    assert.equal((await box.call("confidentialcomputing", "GET", path)).status, 404);
    assert.equal(
      (await box.call("confidentialcomputing", "POST", `${path}/challenges`, { json: {} })).status,
      404,
    );
  });
  await t.test("somebody without a role", async () => {
    const token = box.tokenOf("user:stranger@example.com");
    const answer = await box.call("confidentialcomputing", "POST", `${LOCATION}/challenges`, {
      token,
      json: {},
    });
    assert.equal(answer.status, 403);
  });
});

test("without a verifier nothing proves anything", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startTestBox(t);
  await assert.rejects(attest(box, { audience: AUDIENCE }), /could not be verified/);
});
