import type { KeyUnwrap } from "./envelope.ts";
import { formatPublicKeyPem, KEY_WRAP_ALGORITHM } from "./public-key.ts";
import { singleFlight } from "./single-flight.ts";

/** A key pair that messages are sealed to: the public half to hand out, the private half only to use. */
export interface KeyHandler {
  /** SPKI in PEM. */
  readonly publicKeyPem: () => Promise<string>;
  readonly unwrap: KeyUnwrap;
}

export interface EphemeralKeyOptions {
  /** Bits of the RSA modulus. */
  readonly modulusLength?: number;
}

/**
 * A key pair that is made at its first use, cannot be exported and ends with the object. A client has one for the
 * responses to it.
 */
export function createEphemeralKeyHandler({ modulusLength = 4096 }: EphemeralKeyOptions = {}): KeyHandler {
  const keyPair = singleFlight(() =>
    crypto.subtle.generateKey(
      { ...KEY_WRAP_ALGORITHM, modulusLength, publicExponent: new Uint8Array([1, 0, 1]) },
      false, // the private key; a public key can always be exported
      ["encrypt", "decrypt"],
    ),
  );
  const pem = singleFlight(async () => {
    const { publicKey } = await keyPair();
    return formatPublicKeyPem(new Uint8Array(await crypto.subtle.exportKey("spki", publicKey)));
  });
  return {
    publicKeyPem: pem,
    unwrap: async (wrapped) => {
      const { privateKey } = await keyPair();
      return new Uint8Array(
        await crypto.subtle.decrypt(KEY_WRAP_ALGORITHM, privateKey, new Uint8Array(wrapped)),
      );
    },
  };
}
