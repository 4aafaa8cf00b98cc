import { decodeBase64, encodeBase64 } from "./base64.ts";
import { PolarisError } from "./errors.ts";
import { encodeHex } from "./hex.ts";
import { readSystemJson, type SystemDocument, type SystemRequestOptions } from "./system-request.ts";

/** RSA-OAEP with SHA-256 as hash and MGF1 hash and an empty label (RFC 8017 §7.1): how wire v1 wraps keys. */
export const KEY_WRAP_ALGORITHM = { name: "RSA-OAEP", hash: "SHA-256" } as const;

/** NIST SP 800-131A: RSA below 2048 bits is disallowed. Above 8192 bits an envelope's header has no room. */
const MIN_MODULUS_BITS = 2048;
const MAX_MODULUS_BITS = 8192;

/** The public key that a message is sealed to. */
export interface RecipientKey {
  /** SPKI in PEM, 64 characters a line, with a newline at the end. */
  readonly pem: string;
  /** SubjectPublicKeyInfo in DER (RFC 5280 §4.1.2.7). */
  readonly spki: Uint8Array<ArrayBuffer>;
  /** `sha256:<64 lowercase hex>` of {@link spki}: the key's identity everywhere in Polaris. */
  readonly keyId: string;
  readonly cryptoKey: CryptoKey;
}

/**
 * Reads an RSA public key from PEM.
 *
 * @param pem  one `PUBLIC KEY` block; blanks around it and other line lengths are fine
 * @throws {PolarisError} PUBLIC_KEY_INVALID if it is anything but an RSA key of 2048 to 8192 bits
 */
export async function importPublicKey(pem: string): Promise<RecipientKey> {
  const spki = parsePem(pem);
  const cryptoKey = await crypto.subtle
    .importKey("spki", spki, KEY_WRAP_ALGORITHM, false, ["encrypt"])
    .catch((cause: unknown) => {
      throw new PolarisError("PUBLIC_KEY_INVALID", "public key is not an RSA key", { cause });
    });
  const { modulusLength } = cryptoKey.algorithm as { modulusLength?: number };
  if (!(Number(modulusLength) >= MIN_MODULUS_BITS && Number(modulusLength) <= MAX_MODULUS_BITS)) {
    throw new PolarisError(
      "PUBLIC_KEY_INVALID",
      `public key has ${modulusLength} bits, expected ${MIN_MODULUS_BITS} to ${MAX_MODULUS_BITS}`,
    );
  }
  const keyId = `sha256:${encodeHex(new Uint8Array(await crypto.subtle.digest("SHA-256", spki)))}`;
  return { pem: formatPublicKeyPem(spki), spki, keyId, cryptoKey };
}

/**
 * Asks an endpoint for its public key. The answer is a claim: whoever answers can name any key. Verify the endpoint
 * (verify-attestation.ts) before anything is sealed to it.
 *
 * @throws {PolarisError} PUBLIC_KEY_INVALID, KEY_UNAVAILABLE (the endpoint has no key now), EVIDENCE_MALFORMED for an
 *   answer that is not JSON, ENDPOINT_UNREACHABLE, TIMEOUT, USAGE_INVALID for another URL than an endpoint's
 */
export async function fetchPublicKey(
  endpoint: string | URL,
  options: SystemRequestOptions = {},
): Promise<RecipientKey> {
  const answer = await readSystemJson(endpoint, PUBLIC_KEY_DOCUMENT, options);
  const { publicKey } = (answer ?? {}) as { publicKey?: unknown };
  if (typeof publicKey !== "string") {
    throw new PolarisError("PUBLIC_KEY_INVALID", "endpoint answered without a public key");
  }
  return await importPublicKey(publicKey);
}

const PUBLIC_KEY_DOCUMENT: SystemDocument = {
  name: "a public key",
  path: "publicKey",
  unavailableCode: "KEY_UNAVAILABLE",
};

/** PEM text (RFC 7468 §13) of an SPKI in DER. */
export function formatPublicKeyPem(spki: Uint8Array): string {
  const lines = encodeBase64(spki).match(/.{1,64}/g) ?? [];
  return ["-----BEGIN PUBLIC KEY-----", ...lines, "-----END PUBLIC KEY-----", ""].join("\n");
}

function parsePem(pem: string): Uint8Array<ArrayBuffer> {
  const block = /^\s*-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----\s*$/.exec(
    pem,
  )?.[1];
  const spki = block === undefined ? undefined : decodeBase64(block.replaceAll(/\s/g, ""));
  if (spki === undefined)
    throw new PolarisError("PUBLIC_KEY_INVALID", "public key is not a PEM block of type PUBLIC KEY");
  return spki;
}
