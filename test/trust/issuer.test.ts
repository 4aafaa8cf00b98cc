import assert from "node:assert/strict";
import { test } from "node:test";
import { createLocalJWKSet, jwtVerify } from "jose";
import { credentials, machine, startTestTrust } from "./fixture.ts";

test("the issuer describes itself and signs tokens that its published keys verify", async (t) => {
  const trust = await startTestTrust(t);
  const discovery = await trust.call("GET", "/issuer/.well-known/openid-configuration");
  assert.equal(discovery.status, 200);
  assert.equal(discovery.body.issuer, trust.issuer);
  assert.equal(discovery.body.jwks_uri, `${trust.issuer}/jwks`);
  const jwks = await trust.call("GET", "/issuer/jwks");
  assert.deepEqual(Object.keys(jwks.body.keys[0]!).sort(), ["alg", "e", "kid", "kty", "n", "use"]);

  const nonce = "ab".repeat(32);
  const answer = await trust.call("POST", "/issuer/v1/token", {
    bearer: credentials.machine,
    json: { audience: "polaris-attestation-v1", nonces: [nonce], token_type: "OIDC" },
  });
  assert.equal(answer.status, 200);
  const { payload, protectedHeader } = await jwtVerify(answer.body.token, createLocalJWKSet(jwks.body), {
    currentDate: new Date(trust.clock.nowMs),
  });
  const issuedAt = trust.clock.nowMs / 1000;
  assert.equal(protectedHeader.alg, "RS256");
  assert.equal(protectedHeader.kid, jwks.body.keys[0]!.kid);
  assert.deepEqual(payload, {
    iss: trust.issuer,
    aud: "polaris-attestation-v1",
    sub: "simulated://projects/sim-project/zones/local-a/instances/hello-default",
    iat: issuedAt,
    nbf: issuedAt,
    exp: issuedAt + 3600,
    eat_nonce: nonce,
    secboot: true,
    oemid: 0,
    hwmodel: "POLARIS_SIMULATED_NO_TEE",
    swname: "POLARIS_SIMULATED",
    dbgstat: "enabled",
    submods: {
      gce: {
        zone: machine.zone,
        project_id: machine.projectId,
        project_number: machine.projectNumber,
        instance_name: machine.instanceName,
        instance_id: machine.instanceId,
      },
    },
    google_service_accounts: [machine.serviceAccount],
  });
});

test("several nonces make a list, and none makes no claim", async (t) => {
  const trust = await startTestTrust(t);
  const nonceClaim = async (nonces: string[] | undefined): Promise<unknown> => {
    const answer = await trust.call("POST", "/issuer/v1/token", {
      bearer: credentials.machine,
      json: { audience: "a", nonces, token_type: "OIDC" },
    });
    return JSON.parse(Buffer.from(answer.body.token.split(".")[1]!, "base64url").toString()).eat_nonce;
  };
  assert.deepEqual(await nonceClaim(["first-nonce", "second-nonce"]), ["first-nonce", "second-nonce"]);
  assert.equal(await nonceClaim(undefined), undefined);
});

test("the issuer refuses what Google's refuses", async (t) => {
  const trust = await startTestTrust(t);
  const valid = { audience: "a", nonces: ["12345678"], token_type: "OIDC" };
  const rows: [string, { bearer?: string; json?: unknown; body?: string }, number, string][] = [
    ["no credential", { json: valid }, 401, "UNAUTHENTICATED"],
    ["wrong credential", { bearer: "nobody", json: valid }, 401, "UNAUTHENTICATED"],
    [
      "an administrator's credential",
      { bearer: credentials.administrator, json: valid },
      401,
      "UNAUTHENTICATED",
    ],
    ["nonce of 7 characters", { json: { ...valid, nonces: ["1234567"] } }, 400, "INVALID_ARGUMENT"],
    ["nonce of 89 characters", { json: { ...valid, nonces: ["a".repeat(89)] } }, 400, "INVALID_ARGUMENT"],
    ["nonce that is no text", { json: { ...valid, nonces: [12345678] } }, 400, "INVALID_ARGUMENT"],
    ["nonces that are no list", { json: { ...valid, nonces: "12345678" } }, 400, "INVALID_ARGUMENT"],
    ["seven nonces", { json: { ...valid, nonces: Array(7).fill("12345678") } }, 400, "INVALID_ARGUMENT"],
    ["empty audience", { json: { ...valid, audience: "" } }, 400, "INVALID_ARGUMENT"],
    ["no audience", { json: { token_type: "OIDC" } }, 400, "INVALID_ARGUMENT"],
    ["audience of 513 bytes", { json: { ...valid, audience: "a".repeat(513) } }, 400, "INVALID_ARGUMENT"],
    ["another token type", { json: { ...valid, token_type: "PKI" } }, 400, "INVALID_ARGUMENT"],
    ["unknown field", { json: { ...valid, hwmodel: "GCP_AMD_SEV_SNP" } }, 400, "INVALID_ARGUMENT"],
    ["a body that is no JSON", { body: "{" }, 400, "INVALID_ARGUMENT"],
    ["a body that is a list", { json: [] }, 400, "INVALID_ARGUMENT"],
    ["a body that is too long", { body: " ".repeat(200_000) }, 400, "INVALID_ARGUMENT"],
  ];
  for (const [name, request, status, code] of rows) {
    await t.test(name, async () => {
      const bearer = name.includes("credential") ? request.bearer : credentials.machine;
      const answer = await trust.call("POST", "/issuer/v1/token", { ...request, bearer });
      assert.deepEqual(
        [answer.status, answer.body.error.status, answer.body.error.code],
        [status, code, status],
      );
      assert.equal(answer.body.token, undefined);
    });
  }
  // The limits themselves are allowed.
  const limits = { audience: "a".repeat(512), nonces: Array(6).fill("a".repeat(88)), token_type: "OIDC" };
  assert.equal(
    (await trust.call("POST", "/issuer/v1/token", { bearer: credentials.machine, json: limits })).status,
    200,
  );
});

test("a path of no service is not found", async (t) => {
  const trust = await startTestTrust(t);
  const answer = await trust.call("GET", "/computeMetadata/v1/token");
  assert.deepEqual([answer.status, answer.body.error.status], [404, "NOT_FOUND"]);
});
