import { createHash, createPublicKey } from "node:crypto";
import type { KeyObject } from "node:crypto";
import type { KeyOrigin } from "@polaris-cvm/sdk";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { OperationCounts } from "./operation-queue.ts";

/** Longest that one request waits for its key, and for what it takes to show it. */
export const KEY_DEADLINE_MS = 10_000;

/** The public half of the key that clients seal to. */
export interface ProviderPublicKey {
  /** SPKI in PEM, as clients get it. */
  readonly pem: string;
  /** SubjectPublicKeyInfo in DER. */
  readonly spki: Uint8Array;
  /** `sha256:<64 lowercase hex>` of {@link spki}. */
  readonly keyId: string;
  readonly origin: KeyOrigin;
  /** Length of the modulus, and so of every wrapped key, in bytes. */
  readonly modulusBytes: number;
}

/** Holds RSA keys or the right to use them: one that clients seal to, and older ones. It sees wrapped keys, never bodies. */
export interface KeyProvider {
  readonly kind: "ephemeral" | "google-federated";
  /**
   * The public key; asked for once from wherever it lives and kept.
   *
   * Rejects with KEY_UNAVAILABLE (not yet, or not before `signal` aborted: try again later) or KEY_RELEASE_DENIED (the
   * evidence of this machine was refused).
   */
  publicKey(signal: AbortSignal): Promise<ProviderPublicKey>;
  /**
   * Unwraps one RSA-OAEP(SHA-256)-wrapped value.
   *
   * Rejects as {@link publicKey} does, and with OVERLOADED if too many wait already or `signal` aborts before its turn. A
   * wrong ciphertext is not a failure of the provider: it rejects with ENVELOPE_OPEN_FAILED, for a length of no key before
   * any private operation.
   *
   * @param keyId  names the key (`sha256:<64 lowercase hex>`): KEY_UNKNOWN before any private operation if it is none of
   *   ours. `undefined`: the sender did not say; tried with the newest key first. That costs one private operation for the
   *   newest key, n for the nth, and as many as there are keys for what opens with none.
   */
  unwrap(wrapped: Uint8Array, keyId: string | undefined, signal: AbortSignal): Promise<Uint8Array>;
  /** Private operations now. */
  privateOperations(): OperationCounts;
  /** Ends what runs in the background. */
  close(): void;
}

/**
 * Reads a public key.
 *
 * @param pem  SPKI in PEM
 * @throws {TypeError} if it is anything but an RSA key in SPKI PEM
 */
export function readPublicKey(pem: string, origin: KeyOrigin): ProviderPublicKey {
  const key = createPublicKey({ key: pem, format: "pem", type: "spki" });
  const spki = key.export({ type: "spki", format: "der" });
  const keyId = `sha256:${createHash("sha256").update(spki).digest("hex")}`;
  return { pem, spki, keyId, origin, modulusBytes: modulusBytesOf(key) };
}

function modulusBytesOf(key: KeyObject): number {
  const bits = key.asymmetricKeyType === "rsa" ? key.asymmetricKeyDetails?.modulusLength : undefined;
  if (bits === undefined) throw new TypeError(`expected an RSA key, got ${key.asymmetricKeyType}`);
  return Math.ceil(bits / 8);
}

/** The one error for everything that is wrong inside cryptography, with one text (RFC 7516 §11.5). */
export function envelopeOpenFailed(): PolarisError {
  return new PolarisError("ENVELOPE_OPEN_FAILED", "cannot open envelope");
}

/** For a message that is sealed to a key which is none of ours, or none any more. */
export function keyUnknown(): PolarisError {
  return new PolarisError(
    "KEY_UNKNOWN",
    "the message is sealed to a key that this proxy does not have: ask for its public key again",
  );
}
