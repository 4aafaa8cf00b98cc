import assert from "node:assert/strict";
import { generateSigningKey, type SigningKey } from "@polaris-cvm/stacks/local/trust/issuer-key.ts";
import { attestationCondition, subjectMapping } from "@polaris-cvm/stacks/attestation-condition.ts";
import { SignJWT } from "jose";
import { GOOGLE_ISSUER, type VerifiedMachine } from "./attestation-issuer.ts";
import { NUMBER, PROJECT, type TestBox } from "./box-fixture.ts";

/** A Confidential VM as the attestation service finds it. */
export const VM: VerifiedMachine = {
  machine: {
    projectId: PROJECT,
    projectNumber: NUMBER,
    zone: "europe-west4-a",
    instanceName: "polaris-vm",
    instanceId: "7333333333333333333",
    serviceAccount: `polaris-vm@${PROJECT}.iam.gserviceaccount.com`,
  },
  platform: { hwmodel: "GCP_AMD_SEV_SNP", swname: "GCE", secboot: true, dbgstat: "enabled", oemid: 11129 },
};

/** Another VM that differs in what is given. */
export function otherVm(changes: {
  readonly machine?: Partial<VerifiedMachine["machine"]>;
  readonly platform?: Partial<VerifiedMachine["platform"]>;
}): VerifiedMachine {
  return {
    machine: { ...VM.machine, ...changes.machine },
    platform: { ...VM.platform, ...changes.platform },
  };
}

export const POOL = `projects/${NUMBER}/locations/global/workloadIdentityPools/polaris-pool`;
export const PROVIDER = `${POOL}/providers/attested`;
export const AUDIENCE = `//iam.googleapis.com/${PROVIDER}`;
export const PRINCIPAL = `principal://iam.googleapis.com/${POOL}/subject/gcpcvm::${NUMBER}::${VM.machine.instanceId}`;

export const PROVIDER_BODY = {
  displayName: "attested",
  attributeCondition: attestationCondition({
    softwareName: "GCE",
    hardwareModels: ["GCP_AMD_SEV_SNP"],
    secureBoot: true,
    projectNumber: NUMBER,
    instanceId: VM.machine.instanceId,
    zone: VM.machine.zone,
    serviceAccount: VM.machine.serviceAccount,
  }),
  attributeMapping: { "google.subject": subjectMapping() },
  oidc: { issuerUri: GOOGLE_ISSUER },
};

/** Pool and provider, made over the API as a stack makes them. */
export async function makePool(box: TestBox, provider: object = PROVIDER_BODY): Promise<void> {
  const pools = `/v1/projects/${PROJECT}/locations/global/workloadIdentityPools`;
  await box.make("iam", "POST", `${pools}?workloadIdentityPoolId=polaris-pool`, { displayName: "Polaris" });
  await box.make("iam", "POST", `/v1/${POOL}/providers?workloadIdentityPoolProviderId=attested`, provider);
}

/** The form of a token exchange. */
export function exchangeForm(token: string, audience = AUDIENCE): Record<string, string> {
  return {
    grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
    audience,
    scope: "https://www.googleapis.com/auth/cloud-platform",
    requested_token_type: "urn:ietf:params:oauth:token-type:access_token",
    subject_token: token,
    subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
  };
}

let signingKey: Promise<SigningKey> | undefined;

/** The key of the box's issuer, in a test that signs tokens itself. */
export async function sharedSigningKey(): Promise<SigningKey> {
  signingKey ??= generateSigningKey();
  return signingKey;
}

/** A token of Confidential Computing, over its API: a challenge, evidence, a token. */
export async function attest(box: TestBox, tokenOptions: object = { audience: AUDIENCE }): Promise<string> {
  const location = `/v1/projects/${PROJECT}/locations/europe-west4`;
  const challenge = await box.make("confidentialcomputing", "POST", `${location}/challenges`, {});
  const { oidcClaimsToken } = await box.make(
    "confidentialcomputing",
    "POST",
    `/v1/${challenge.name}:verifyAttestation`,
    { tpmAttestation: { quotes: [], tcgEventLog: "", akCert: "" }, tokenOptions },
  );
  assert.equal(typeof oidcClaimsToken, "string");
  return oidcClaimsToken;
}

/** A token with the claims that a test wants, signed by the box's issuer. */
export async function signClaims(
  box: TestBox,
  claims: Record<string, unknown>,
  times: { readonly issuedAtOffsetSeconds?: number } = {},
): Promise<string> {
  const { privateKey, publicJwk } = await sharedSigningKey();
  const issuedAt = Math.floor(box.clock.nowMs / 1000) + (times.issuedAtOffsetSeconds ?? 0);
  return new SignJWT({
    iss: GOOGLE_ISSUER,
    aud: AUDIENCE,
    iat: issuedAt,
    nbf: issuedAt,
    exp: issuedAt + 3600,
    ...claims,
  })
    .setProtectedHeader({ alg: "RS256", kid: publicJwk.kid, typ: "JWT" })
    .sign(privateKey);
}
