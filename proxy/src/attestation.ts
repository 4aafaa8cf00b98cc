import {
  ENVELOPE_ALGORITHM,
  NONCE_BYTES,
  computeBinding,
  decodeBase64Url,
  encodeHex,
  hashPublicKey,
} from "@polaris-cvm/sdk";
import type { AttestationDocument } from "@polaris-cvm/sdk";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { KeyProvider } from "./keys/key-provider.ts";
import { requestAttestationToken } from "./token-agent-client.ts";

/** What an attestation document is made of, besides the verifier's nonce. */
export interface AttestationSource {
  /** `<name>/<stack>` */
  readonly stack: string;
  readonly keys: KeyProvider;
  /** SPKI DER of the TLS key, if it was born in this process (tls-identity.ts, `bound`). */
  readonly tlsSpki: Uint8Array | undefined;
  /** Unix socket of the token agent; without it there is no evidence. */
  readonly tokenAgentSocket: string | undefined;
  readonly nowMs: () => number;
}

/**
 * Makes the attestation document for one verifier: fresh evidence over its nonce, this stack, the public key and the TLS
 * key, if it was born here.
 *
 * @param nonceText  base64url of 32 bytes, without padding; a stranger's words until this function has checked them
 * @throws {PolarisError} NONCE_INVALID, ATTESTATION_UNAVAILABLE, KEY_UNAVAILABLE, KEY_RELEASE_DENIED
 */
export async function createAttestationDocument(
  { stack, keys, tlsSpki, tokenAgentSocket, nowMs }: AttestationSource,
  nonceText: string,
  signal: AbortSignal,
): Promise<AttestationDocument> {
  const nonce = decodeBase64Url(nonceText);
  if (nonce?.length !== NONCE_BYTES) {
    throw new PolarisError(
      "NONCE_INVALID",
      `nonce must be base64url of ${NONCE_BYTES} bytes without padding`,
    );
  }
  if (tokenAgentSocket === undefined) {
    throw new PolarisError("ATTESTATION_UNAVAILABLE", "this proxy has no token agent, and so no evidence");
  }
  const { pem, spki, keyId, origin } = await keys.publicKey(signal);
  const binding = encodeHex(await computeBinding({ stack, nonce, spki, tlsSpki }));
  return {
    version: 1,
    stack,
    algorithm: ENVELOPE_ALGORITHM,
    publicKey: pem,
    keyId,
    keyOrigin: origin,
    nonce: nonceText,
    binding,
    tlsPublicKeySha256: tlsSpki === undefined ? null : await hashPublicKey(tlsSpki),
    evidence: [
      { type: "oidc-token", token: await requestAttestationToken(tokenAgentSocket, binding, signal) },
    ],
    issuedAtUnixSeconds: Math.floor(nowMs() / 1000),
  };
}
