import { createPrivateKey, createPublicKey, webcrypto } from "node:crypto";
import { availableParallelism } from "node:os";
import { createKeyThread } from "./key-thread.ts";
import { envelopeOpenFailed, keyUnknown, readPublicKey } from "./key-provider.ts";
import type { KeyProvider, ProviderPublicKey } from "./key-provider.ts";
import { createOperationQueue } from "./operation-queue.ts";

/** RSA-OAEP with SHA-256 for hash and MGF1, empty label (RFC 8017 §7.1). */
const RSA_OAEP = { name: "RSA-OAEP", hash: "SHA-256" };
const MODULUS_BITS = 4096;
const PUBLIC_EXPONENT = Uint8Array.of(1, 0, 1);

/**
 * A key that is born here and ends with the process: what is sealed to it cannot be opened after a restart, and every
 * start has another identity, which only evidence can vouch for.
 */
export async function createEphemeralKeyProvider(maxQueuedUnwraps: number): Promise<KeyProvider> {
  const parameters = { ...RSA_OAEP, modulusLength: MODULUS_BITS, publicExponent: PUBLIC_EXPONENT };
  const pair = await webcrypto.subtle.generateKey(parameters, true, ["encrypt", "decrypt"]);
  const pkcs8 = new Uint8Array(await webcrypto.subtle.exportKey("pkcs8", pair.privateKey));
  try {
    return createMemoryKeyProvider(pkcs8, maxQueuedUnwraps);
  } finally {
    pkcs8.fill(0);
  }
}

/**
 * Keeps a private key in memory, in as many threads as there are cores: all cores work on private operations and the event
 * loop on none.
 *
 * @param pkcs8  PKCS #8 in DER; not kept, the caller may overwrite it
 */
export function createMemoryKeyProvider(pkcs8: Uint8Array, maxQueuedUnwraps: number): KeyProvider {
  const publicKey = derivePublicKey(pkcs8);
  const threads = Array.from({ length: availableParallelism() }, () => createKeyThread(pkcs8));
  // The next operation lies ready at each thread: it would wait for the event loop otherwise, and the core with it.
  const operations = createOperationQueue([...threads, ...threads], maxQueuedUnwraps);

  return {
    kind: "ephemeral",
    publicKey: async () => publicKey,
    async unwrap(wrapped, keyId, signal) {
      if (keyId !== undefined && keyId !== publicKey.keyId) throw keyUnknown();
      if (wrapped.length !== publicKey.modulusBytes) throw envelopeOpenFailed();
      const value = await operations.run((thread) => thread.unwrap(wrapped), signal);
      if (value === undefined) throw envelopeOpenFailed();
      return value;
    },
    privateOperations: () => operations.counts(),
    close() {
      for (const thread of threads) thread.stop();
    },
  };
}

/** @throws {Error} of OpenSSL if it is no private key */
function derivePublicKey(pkcs8: Uint8Array): ProviderPublicKey {
  const der = Buffer.from(pkcs8);
  try {
    const privateKey = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
    const pem = createPublicKey(privateKey).export({ type: "spki", format: "pem" });
    return readPublicKey(pem, { kind: "ephemeral" });
  } finally {
    der.fill(0);
  }
}
