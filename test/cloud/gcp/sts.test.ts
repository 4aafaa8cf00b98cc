import assert from "node:assert/strict";
import { test } from "node:test";
import {
  attest,
  AUDIENCE,
  exchangeForm,
  makePool,
  PROVIDER_BODY,
  sharedSigningKey,
  signClaims,
  VM,
} from "./attestation-fixture.ts";
import { DISCOVERY_MISSING, type Json, startTestBox, type TestBox } from "./box-fixture.ts";

const { machine, platform } = VM;
const CLAIMS = {
  sub: "https://www.googleapis.com/compute/v1/projects/p/zones/z/instances/i",
  ...platform,
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
};

async function exchange(box: TestBox, form: Record<string, string>): Promise<Json> {
  const { status, body } = await box.call("sts", "POST", "/v1/token", { token: null, form });
  return { status, ...body };
}

test("the exchange answers as Google's, and takes JSON too", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startTestBox(t, { iam: { verifyAttestation: async () => VM } });
  await makePool(box);
  const form = exchangeForm(await attest(box));
  const { access_token: token, ...rest } = await exchange(box, form);
  assert.equal(typeof token, "string");
  assert.deepEqual(rest, {
    status: 200,
    issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
    token_type: "Bearer",
    expires_in: 3600,
  });
  const json = Object.fromEntries(
    Object.entries(form).map(([name, value]) => [
      name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()),
      value,
    ]),
  );
  assert.equal((await box.call("sts", "POST", "/v1/token", { token: null, json })).status, 200);
});

interface Refusal {
  readonly name: string;
  readonly claims?: Record<string, unknown>;
  readonly issuedAtOffsetSeconds?: number;
  readonly form?: Record<string, string>;
  readonly token?: string;
  readonly error: string;
  readonly description: RegExp;
}

const CONDITION = /rejected by the attribute condition/;
const gce = (changes: object): Record<string, unknown> => ({
  submods: { gce: { ...CLAIMS.submods.gce, ...changes } },
});
const refusals: readonly Refusal[] = [
  {
    name: "another audience",
    claims: { aud: "https://sts.googleapis.com" },
    error: "invalid_grant",
    description: /does not match the expected audience/,
  },
  {
    name: "another issuer",
    claims: { iss: "https://accounts.google.com" },
    error: "invalid_grant",
    description: /issuer/,
  },
  {
    name: "expired token",
    issuedAtOffsetSeconds: -3601,
    error: "invalid_grant",
    description: /stale to sign-in/,
  },
  { name: "no token at all", token: "token", error: "invalid_grant", description: /parse/ },
  {
    name: "provider that is not there",
    form: { audience: `${AUDIENCE}-2` },
    error: "invalid_target",
    description: /disabled or deleted or because it doesn't exist/,
  },
  {
    name: "audience that names no provider",
    form: { audience: "https://sts.googleapis.com" },
    error: "invalid_request",
    description: /audience/,
  },
  {
    name: "another grant type",
    form: { grant_type: "password" },
    error: "unsupported_grant_type",
    description: /grant_type/,
  },
  { name: "another scope", form: { scope: "email" }, error: "invalid_scope", description: /scope/ },
  {
    name: "no claim that the condition needs",
    claims: { hwmodel: undefined },
    error: "unauthorized_client",
    description: CONDITION,
  },
  {
    name: "secure boot as a text",
    claims: { secboot: "true" },
    error: "unauthorized_client",
    description: CONDITION,
  },
  {
    name: "instance id as a number",
    claims: gce({ instance_id: 7333 }),
    error: "unauthorized_client",
    description: /Could not obtain a value for google\.subject/,
  },
];

test("the exchange refuses what Google's refuses", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startTestBox(t, { iam: { attestationKey: await sharedSigningKey() } });
  await makePool(box);
  assert.equal((await exchange(box, exchangeForm(await signClaims(box, CLAIMS)))).status, 200);
  for (const { name, claims, issuedAtOffsetSeconds = 0, form, token, error, description } of refusals) {
    await t.test(name, async () => {
      const signed = token ?? (await signClaims(box, { ...CLAIMS, ...claims }, { issuedAtOffsetSeconds }));
      const answer = await exchange(box, { ...exchangeForm(signed), ...form });
      assert.deepEqual([answer.status, answer.error], [400, error], JSON.stringify(answer));
      assert.match(answer.error_description, description);
    });
  }
});

test(
  "a provider with a list of audiences takes no other, not even its own name",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const box = await startTestBox(t, { iam: { attestationKey: await sharedSigningKey() } });
    await makePool(box, {
      ...PROVIDER_BODY,
      oidc: { ...PROVIDER_BODY.oidc, allowedAudiences: ["https://sts.googleapis.com"] },
    });
    const own = await exchange(box, exchangeForm(await signClaims(box, CLAIMS)));
    assert.equal(own.error, "invalid_grant");
    const listed = await signClaims(box, { ...CLAIMS, aud: "https://sts.googleapis.com" });
    assert.equal((await exchange(box, exchangeForm(listed))).status, 200);
  },
);

test(
  "a provider with uploaded keys takes tokens by these and no others",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const box = await startTestBox(t);
    const { publicJwk } = await sharedSigningKey();
    const body = {
      ...PROVIDER_BODY,
      oidc: { issuerUri: "https://issuer.example", jwksJson: JSON.stringify({ keys: [publicJwk] }) },
    };
    await makePool(box, body);
    const token = await signClaims(box, { ...CLAIMS, iss: "https://issuer.example" });
    assert.equal((await exchange(box, exchangeForm(token))).status, 200);
    assert.equal((await exchange(box, exchangeForm(await signClaims(box, CLAIMS)))).error, "invalid_grant");
  },
);

test(
  "without a condition, everybody whom the issuer knows comes in",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const box = await startTestBox(t, { iam: { attestationKey: await sharedSigningKey() } });
    await makePool(box, { ...PROVIDER_BODY, attributeCondition: undefined });
    const stranger = await signClaims(box, {
      ...CLAIMS,
      hwmodel: "GCP_SHIELDED_VM",
      ...gce({ project_number: "1" }),
    });
    assert.equal((await exchange(box, exchangeForm(stranger))).status, 200);
  },
);
