import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import {
  type Answer,
  accessToken,
  audienceOf,
  credentials,
  cryptoKey,
  exchangeForm,
  type ForgedToken,
  forgeToken,
  issueToken,
  principal,
  startTestTrust,
  type TestTrust,
} from "./fixture.ts";

const VERSION = `/v1/${cryptoKey}/cryptoKeyVersions/1`;

test("the exchange gives an access token for the attested principal", async (t) => {
  const trust = await startTestTrust(t);
  const token = await issueToken(trust, audienceOf("attested"));
  const answer = await trust.call("POST", "/v1/token", { form: exchangeForm(token) });
  assert.equal(answer.status, 200);
  const { access_token: access, ...rest } = answer.body;
  assert.deepEqual(rest, {
    issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
    token_type: "Bearer",
    expires_in: 3600,
  });
  const payload = JSON.parse(Buffer.from(access.split(".")[1]!, "base64url").toString());
  assert.equal(payload.principal, principal);
  assert.equal((await trust.call("GET", VERSION, { bearer: access })).status, 200);
});

test("the provider's name is an audience with and without https", async (t) => {
  const trust = await startTestTrust(t);
  for (const audience of [audienceOf("attested"), `https:${audienceOf("attested")}`]) {
    const token = await issueToken(trust, audience);
    assert.equal((await trust.call("POST", "/v1/token", { form: exchangeForm(token) })).status, 200);
  }
});

test("an access token does not outlive the evidence", async (t) => {
  const trust = await startTestTrust(t);
  const token = await issueToken(trust, audienceOf("attested"));
  trust.clock.nowMs += 3000_000;
  const answer = await trust.call("POST", "/v1/token", { form: exchangeForm(token) });
  assert.equal(answer.body.expires_in, 600);
  const bearer = answer.body.access_token;
  trust.clock.nowMs += 599_000;
  assert.equal((await trust.call("GET", VERSION, { bearer })).status, 200);
  trust.clock.nowMs += 1000;
  assert.equal((await trust.call("GET", VERSION, { bearer })).status, 401);
});

test("mapped attributes become principal sets", async (t) => {
  const trust = await startTestTrust(t);
  const bearer = await accessToken(trust, "by-sub");
  const payload = JSON.parse(Buffer.from(bearer.split(".")[1]!, "base64url").toString());
  const pool =
    "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/polaris-pool";
  assert.deepEqual(payload.memberships, [
    `principal:${pool}/subject/simulated://projects/sim-project/zones/local-a/instances/hello-default`,
    `principalSet:${pool}/attribute.zone/local-a`,
    `principalSet:${pool}/*`,
  ]);
});

interface Row {
  readonly name: string;
  /** Made from the running services; a token of the issuer if absent. */
  readonly token?: ForgedToken | ((trust: TestTrust, t: TestContext) => Promise<string>);
  /** Asks this provider; the token's audience follows. */
  readonly provider?: string;
  readonly form?: Record<string, string | undefined>;
  readonly error: string;
  readonly description: RegExp;
}

const CONDITION = /^The given credential is rejected by the attribute condition\.$/;
const SIGNATURE = /^Unable to verify the ID Token signature\.$/;
const TARGET = /^The target service indicated by the "audience" parameters is invalid\./;
const AUDIENCE_VALUE = /^Invalid value for "audience"\. This value should be the full resource name/;

const rows: readonly Row[] = [
  // The request.
  {
    name: "wrong grant type",
    form: { grant_type: "client_credentials" },
    error: "unsupported_grant_type",
    description: /^Invalid value for "grant_type"\.$/,
  },
  {
    name: "wrong requested token type",
    form: { requested_token_type: "urn:ietf:params:oauth:token-type:id_token" },
    error: "invalid_request",
    description: /requested_token_type/,
  },
  {
    name: "wrong subject token type",
    form: { subject_token_type: "urn:ietf:params:oauth:token-type:saml2" },
    error: "invalid_request",
    description: /subject_token_type/,
  },
  {
    name: "no subject token",
    form: { subject_token: undefined },
    error: "invalid_request",
    description: /subject_token/,
  },
  { name: "no scope", form: { scope: undefined }, error: "invalid_scope", description: /scope/ },
  {
    name: "another scope",
    form: { scope: "https://www.googleapis.com/auth/userinfo.email" },
    error: "invalid_scope",
    description: /scope/,
  },
  {
    name: "unknown parameter",
    form: { principal },
    error: "invalid_request",
    description: /unknown parameter/,
  },
  {
    name: "no audience",
    form: { audience: undefined },
    error: "invalid_request",
    description: AUDIENCE_VALUE,
  },
  {
    name: "audience without the service",
    form: { audience: audienceOf("attested").replace("//iam.googleapis.com/", "") },
    error: "invalid_request",
    description: AUDIENCE_VALUE,
  },
  {
    name: "audience that is a pool",
    form: { audience: audienceOf("attested").replace("/providers/attested", "") },
    error: "invalid_request",
    description: AUDIENCE_VALUE,
  },
  {
    name: "unknown provider",
    form: { audience: audienceOf("unknown") },
    error: "invalid_target",
    description: TARGET,
  },
  {
    name: "provider of another project",
    form: { audience: audienceOf("attested").replace("123456789012", "999") },
    error: "invalid_target",
    description: TARGET,
  },
  {
    name: "disabled provider",
    form: { audience: audienceOf("disabled-provider") },
    error: "invalid_target",
    description: TARGET,
  },
  {
    name: "disabled pool",
    form: { audience: audienceOf("attested", "disabled-pool") },
    error: "invalid_target",
    description: TARGET,
  },
  // The token.
  {
    name: "token for the audience of evidence",
    token: { audience: "polaris-attestation-v1" },
    error: "invalid_grant",
    description:
      /^The audience in ID Token \[polaris-attestation-v1\] does not match the expected audience\.$/,
  },
  {
    name: "token for another provider",
    token: { audience: audienceOf("lenient") },
    error: "invalid_grant",
    description: /does not match the expected audience/,
  },
  {
    name: "the provider's name where the provider wants its own audience",
    provider: "own-audience",
    token: { audience: audienceOf("own-audience") },
    error: "invalid_grant",
    description: /does not match the expected audience/,
  },
  {
    name: "expired token",
    token: { issuedAtOffsetSeconds: -3600 },
    error: "invalid_grant",
    description: /^ID Token issued at [0-9]+ is stale to sign-in\.$/,
  },
  {
    name: "token that is not valid yet",
    token: { notBeforeOffsetSeconds: 60 },
    error: "invalid_grant",
    description: /^The ID Token is not valid yet\.$/,
  },
  {
    name: "token issued in the future",
    token: { issuedAtOffsetSeconds: 60, notBeforeOffsetSeconds: -60 },
    error: "invalid_grant",
    description: /lifetime/,
  },
  {
    name: "token that lives longer than a day",
    token: { lifetimeSeconds: 86_401 },
    error: "invalid_grant",
    description: /lifetime/,
  },
  {
    name: "token without expiry",
    token: { claims: (claims) => Reflect.deleteProperty(claims, "exp") },
    error: "invalid_grant",
    description: /required claim/,
  },
  {
    name: "token of another issuer",
    token: { issuer: "https://confidentialcomputing.googleapis.com" },
    error: "invalid_grant",
    description: /^The issuer in ID Token https:\/\/confidentialcomputing\.googleapis\.com does not match/,
  },
  {
    name: "token signed by another key",
    token: { key: generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey },
    error: "invalid_grant",
    description: SIGNATURE,
  },
  {
    name: "algorithm none",
    token: async (trust) => {
      const [, payload] = (await forgeToken(trust)).split(".");
      return `${Buffer.from('{"alg":"none"}').toString("base64url")}.${payload}.`;
    },
    error: "invalid_grant",
    description: SIGNATURE,
  },
  {
    name: "HS256 with the public key as the secret",
    token: async (trust) => {
      const pem = await readFile(join(trust.config.stateDir, "issuer-signing-key.pem"));
      const publicPem = createPublicKey(pem).export({ type: "spki", format: "pem" });
      return forgeToken(trust, { algorithm: "HS256", key: Buffer.from(publicPem) });
    },
    error: "invalid_grant",
    description: SIGNATURE,
  },
  {
    name: "RS512 by the issuer's own key",
    token: { algorithm: "RS512" },
    error: "invalid_grant",
    description: SIGNATURE,
  },
  {
    name: "tampered payload",
    token: async (trust) => {
      const [header, payload, signature] = (await forgeToken(trust)).split(".");
      const claims = JSON.parse(Buffer.from(payload!, "base64url").toString());
      claims.dbgstat = "disabled-since-boot";
      return `${header}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.${signature}`;
    },
    error: "invalid_grant",
    description: SIGNATURE,
  },
  {
    name: "no token at all",
    token: async () => "not-a-token",
    error: "invalid_grant",
    description: /^Unable to parse the ID Token\.$/,
  },
  {
    name: "issuer that does not answer",
    provider: "elsewhere",
    error: "invalid_grant",
    description: /^Error connecting to the given credential's issuer\.$/,
  },
  // The condition.
  {
    name: "another hwmodel",
    token: { claims: (claims) => (claims.hwmodel = "GCP_SHIELDED_VM") },
    error: "unauthorized_client",
    description: CONDITION,
  },
  {
    name: "another swname",
    token: { claims: (claims) => (claims.swname = "GCE") },
    error: "unauthorized_client",
    description: CONDITION,
  },
  {
    name: "another project",
    token: { claims: (claims) => (claims.submods.gce.project_number = "1") },
    error: "unauthorized_client",
    description: CONDITION,
  },
  {
    name: "another instance",
    token: { claims: (claims) => (claims.submods.gce.instance_id = "1") },
    error: "unauthorized_client",
    description: CONDITION,
  },
  {
    name: "another machine of this issuer, with its own credential",
    token: (trust) => issueToken(trust, audienceOf("attested"), credentials.otherMachine),
    error: "unauthorized_client",
    description: CONDITION,
  },
  {
    name: "another zone",
    token: { claims: (claims) => (claims.submods.gce.zone = "local-b") },
    error: "unauthorized_client",
    description: CONDITION,
  },
  {
    name: "another service account",
    token: {
      claims: (claims) => (claims.google_service_accounts = ["other@sim-project.iam.gserviceaccount.com"]),
    },
    error: "unauthorized_client",
    description: CONDITION,
  },
  {
    name: "no secure boot",
    token: { claims: (claims) => (claims.secboot = false) },
    error: "unauthorized_client",
    description: CONDITION,
  },
  {
    name: "secure boot as a text",
    token: { claims: (claims) => (claims.secboot = "true") },
    error: "unauthorized_client",
    description: CONDITION,
  },
  {
    name: "a claim of the condition is missing",
    token: { claims: (claims) => Reflect.deleteProperty(claims, "google_service_accounts") },
    error: "unauthorized_client",
    description: CONDITION,
  },
  {
    name: "a claim of the condition has another type",
    token: {
      claims: (claims) => (claims.google_service_accounts = "hello-vm@sim-project.iam.gserviceaccount.com"),
    },
    error: "unauthorized_client",
    description: CONDITION,
  },
  {
    name: "condition that is truthy but not true",
    provider: "truthy",
    error: "unauthorized_client",
    description: CONDITION,
  },
  // The mapping.
  {
    name: "mapping needs a claim that is missing",
    provider: "lenient",
    token: { audience: audienceOf("lenient"), claims: (claims) => Reflect.deleteProperty(claims, "submods") },
    error: "unauthorized_client",
    description: /^Could not obtain a value for google\.subject from the given credential\.$/,
  },
  {
    name: "mapping gives an empty subject",
    provider: "by-sub",
    token: { audience: audienceOf("by-sub"), claims: (claims) => (claims.sub = "") },
    error: "unauthorized_client",
    description: /google\.subject/,
  },
  {
    name: "subject of 128 bytes",
    provider: "by-sub",
    token: { audience: audienceOf("by-sub"), claims: (claims) => (claims.sub = "é".repeat(64)) },
    error: "invalid_request",
    description: /^The size of mapped attribute google\.subject exceeds the 127 bytes limit\./,
  },
];

test("the token exchange refuses what Google's refuses", async (t) => {
  const trust = await startTestTrust(t);
  for (const row of rows) {
    await t.test(row.name, async (t) => {
      const answer = await exchange(trust, row, t);
      assert.equal(answer.status, 400);
      assert.deepEqual(Object.keys(answer.body).sort(), ["error", "error_description"]);
      assert.equal(answer.body.error, row.error);
      assert.match(answer.body.error_description, row.description);
    });
  }
});

async function exchange(trust: TestTrust, row: Row, t: TestContext): Promise<Answer> {
  const audience = audienceOf(row.provider ?? "attested");
  const token =
    typeof row.token === "function"
      ? await row.token(trust, t)
      : row.token === undefined
        ? await issueToken(trust, audience)
        : await forgeToken(trust, row.token);
  const form = Object.entries({ ...exchangeForm(token, audience), ...row.form });
  return trust.call("POST", "/v1/token", {
    form: form.filter((entry): entry is [string, string] => entry[1] !== undefined),
  });
}

test("the forged tokens of the table fail by what they change and by nothing else", async (t) => {
  const trust = await startTestTrust(t);
  for (const provider of ["attested", "lenient", "by-sub"]) {
    const form = exchangeForm(
      await forgeToken(trust, { audience: audienceOf(provider) }),
      audienceOf(provider),
    );
    assert.equal((await trust.call("POST", "/v1/token", { form })).status, 200);
  }
  const own = await forgeToken(trust, { audience: "https://sts.example" });
  const form = exchangeForm(own, audienceOf("own-audience"));
  assert.equal((await trust.call("POST", "/v1/token", { form })).status, 200);
  const longest = await forgeToken(trust, {
    audience: audienceOf("by-sub"),
    claims: (claims) => (claims.sub = "s".repeat(127)),
  });
  assert.equal(
    (await trust.call("POST", "/v1/token", { form: exchangeForm(longest, audienceOf("by-sub")) })).status,
    200,
  );
});

test("a parameter that is repeated, or a body that is no form, is refused", async (t) => {
  const trust = await startTestTrust(t);
  const form = exchangeForm(await issueToken(trust, audienceOf("attested")));
  const repeated = await trust.call("POST", "/v1/token", {
    form: [...Object.entries(form), ["audience", audienceOf("lenient")]],
  });
  assert.deepEqual([repeated.status, repeated.body.error], [400, "invalid_request"]);
  const json = await trust.call("POST", "/v1/token", { json: form });
  assert.deepEqual([json.status, json.body.error], [400, "invalid_request"]);
});
