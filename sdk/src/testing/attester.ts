import { exportJWK, generateKeyPair, type JSONWebKeySet, SignJWT } from "jose";
import {
  ATTESTATION_AUDIENCE,
  type AttestationDocument,
  computeBinding,
  ENVELOPE_ALGORITHM,
  hashPublicKey,
} from "../attestation-document.ts";
import { encodeBase64Url } from "../base64.ts";
import { encodeHex } from "../hex.ts";
import type { RecipientKey } from "../public-key.ts";
import type { AttestationExpectations } from "../verify-attestation.ts";

/** The moment at which every test verifies, in Unix seconds. */
export const NOW = 1_800_000_000;

export const ISSUER = "https://issuer.example";
export const STACK = "hello/default";

/** What an attester in tests says; each test changes the one thing that it is about. */
export interface Attestation {
  readonly stack?: string;
  /** The key that the evidence is bound to. */
  readonly key: RecipientKey;
  readonly nonce: Uint8Array;
  /** SPKI of a TLS key that the evidence is bound to. */
  readonly tlsSpki?: Uint8Array | undefined;
  readonly claims?: Record<string, unknown>;
  readonly document?: Partial<Record<keyof AttestationDocument, unknown>>;
}

export interface Attester {
  readonly jwks: JSONWebKeySet;
  sign(claims: Record<string, unknown>): Promise<string>;
  attest(attestation: Attestation): Promise<Record<string, unknown>>;
  expectations(): AttestationExpectations;
}

/** An attester with a real RSA key, in the shapes of a Google token of a plain confidential VM. */
export async function createAttester(keyId = "signer-1"): Promise<Attester> {
  const { privateKey, publicKey } = await generateKeyPair("RS256");
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: keyId, use: "sig", alg: "RS256" }] };
  const sign = (claims: Record<string, unknown>): Promise<string> =>
    new SignJWT(claims).setProtectedHeader({ alg: "RS256", kid: keyId, typ: "JWT" }).sign(privateKey);

  return {
    jwks,
    sign,
    attest: async ({ stack = STACK, key, nonce, tlsSpki, claims, document }) => {
      const binding = encodeHex(await computeBinding({ stack, nonce, spki: key.spki, tlsSpki }));
      return {
        version: 1,
        stack,
        algorithm: ENVELOPE_ALGORITHM,
        publicKey: key.pem,
        keyId: key.keyId,
        keyOrigin: { kind: "ephemeral" },
        nonce: encodeBase64Url(nonce),
        binding,
        tlsPublicKeySha256: tlsSpki === undefined ? null : await hashPublicKey(tlsSpki),
        evidence: [{ type: "oidc-token", token: await sign({ ...CLAIMS, eat_nonce: binding, ...claims }) }],
        issuedAtUnixSeconds: NOW,
        ...document,
      };
    },
    expectations: () => ({
      stack: STACK,
      issuer: ISSUER,
      jwks,
      claims: {
        hwmodel: ["GCP_AMD_SEV_SNP"],
        swname: "GCE",
        secureBoot: true,
        projectNumber: "470652426305",
        instanceId: "7330000000000000001",
        serviceAccount: "vm@project.iam.gserviceaccount.com",
      },
      tls: "unbound",
      acceptSimulated: false,
    }),
  };
}

export const CLAIMS = {
  aud: ATTESTATION_AUDIENCE,
  exp: NOW + 3600,
  iat: NOW,
  nbf: NOW,
  iss: ISSUER,
  sub: "https://www.googleapis.com/compute/v1/projects/project/zones/europe-west4-a/instances/vm",
  eat_nonce: "00".repeat(32),
  secboot: true,
  oemid: 11129,
  hwmodel: "GCP_AMD_SEV_SNP",
  swname: "GCE",
  dbgstat: "enabled",
  submods: {
    gce: {
      zone: "europe-west4-a",
      project_id: "project",
      project_number: "470652426305",
      instance_name: "vm",
      instance_id: "7330000000000000001",
    },
  },
  google_service_accounts: ["vm@project.iam.gserviceaccount.com"],
};
