import { createPrivateKey, createPublicKey, webcrypto } from "node:crypto";
import { availableParallelism } from "node:os";
import { envelopeOpenFailed, readPublicKey } from "./key-provider.ts";
import type { KeyProvider } from "./key-provider.ts";

/** RSA-OAEP with SHA-256 for hash and MGF1, empty label (RFC 8017 §7.1). */
const RSA_OAEP = { name: "RSA-OAEP", hash: "SHA-256" };
const MODULUS_BITS = 4096;
const PUBLIC_EXPONENT = Uint8Array.of(1, 0, 1);

/**
 * A key that is born here and ends with the process: what is sealed to it cannot be opened after a restart, and every
 * start has another identity, which only evidence can vouch for.
 */
export async function createEphemeralKeyProvider(): Promise<KeyProvider> {
  const parameters = { ...RSA_OAEP, modulusLength: MODULUS_BITS, publicExponent: PUBLIC_EXPONENT };
  const pair = await webcrypto.subtle.generateKey(parameters, true, ["encrypt", "decrypt"]);
  const pkcs8 = new Uint8Array(await webcrypto.subtle.exportKey("pkcs8", pair.privateKey));
  try {
    return await createMemoryKeyProvider(pkcs8);
  } finally {
    pkcs8.fill(0);
  }
}

/**
 * Keeps a private key in memory, in one imported copy per core: a copy works on one private operation at a time, and
 * the thread pool runs as many as there are copies (measured; one copy alone keeps one core busy, whatever its callers do).
 *
 * @param pkcs8  PKCS #8 in DER; not kept, the caller may overwrite it
 */
export async function createMemoryKeyProvider(pkcs8: Uint8Array<ArrayBuffer>): Promise<KeyProvider> {
  const copies = await Promise.all(
    Array.from({ length: availableParallelism() }, () =>
      webcrypto.subtle.importKey("pkcs8", pkcs8, RSA_OAEP, false, ["decrypt"]),
    ),
  );
  const der = Buffer.from(pkcs8);
  const privateKey = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  der.fill(0);
  const pem = createPublicKey(privateKey).export({ type: "spki", format: "pem" });
  const publicKey = readPublicKey(pem, { kind: "ephemeral" });
  let turn = 0;

  return {
    kind: "ephemeral",
    publicKey: async () => publicKey,
    async unwrap(wrapped) {
      if (wrapped.length !== publicKey.modulusBytes) throw envelopeOpenFailed();
      turn = (turn + 1) % copies.length;
      const copy = copies[turn] as webcrypto.CryptoKey;
      try {
        return new Uint8Array(await webcrypto.subtle.decrypt(RSA_OAEP, copy, new Uint8Array(wrapped)));
      } catch {
        throw envelopeOpenFailed();
      }
    },
    close: () => undefined,
  };
}
