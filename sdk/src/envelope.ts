import { AUTH_TAG_BYTES, formatEnvelope, parseEnvelope } from "./envelope-format.ts";
import { isPolarisError, PolarisError } from "./errors.ts";
import { KEY_WRAP_ALGORITHM, type RecipientKey } from "./public-key.ts";

/** Content-encryption key length of AES-256-GCM, in bytes (NIST SP 800-38D, FIPS 197). */
export const CONTENT_KEY_BYTES = 32;

/** Length of the initialization vectors that we make, in bytes: the one that GCM uses without hashing it first. */
export const SEAL_IV_BYTES = 12;

/**
 * Lengths of the initialization vectors that we read, in bytes. Senders of wire v1 use 12 or 16; these bounds are what
 * WebCrypto takes in Node, set here so that a message opens everywhere or nowhere.
 */
const MIN_IV_BYTES = SEAL_IV_BYTES;
const MAX_IV_BYTES = 128;

/**
 * Unwraps one RSA-OAEP-wrapped value with the recipient's private key. It may reject with a PolarisError of another
 * code if the key cannot be asked (KEY_UNAVAILABLE, KEY_RELEASE_DENIED); every other rejection means: not for this key.
 */
export type KeyUnwrap = (wrapped: Uint8Array) => Promise<Uint8Array>;

/**
 * Seals one message to a public key: a fresh content key and vector, AES-256-GCM, both wrapped by RSA-OAEP(SHA-256).
 *
 * @returns wire bytes (envelope-format.ts); 1441 bytes longer than the plaintext for RSA-4096
 */
export async function sealEnvelope(
  plaintext: Uint8Array,
  recipient: RecipientKey,
): Promise<Uint8Array<ArrayBuffer>> {
  const contentKey = crypto.getRandomValues(new Uint8Array(CONTENT_KEY_BYTES));
  const iv = crypto.getRandomValues(new Uint8Array(SEAL_IV_BYTES));
  const wrap = (value: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer> =>
    crypto.subtle.encrypt(KEY_WRAP_ALGORITHM, recipient.cryptoKey, value);

  const [wrappedKey, wrappedIv, sealed] = await Promise.all([
    wrap(contentKey),
    wrap(iv),
    importContentKey(contentKey, "encrypt").then((key) =>
      crypto.subtle.encrypt(gcm(iv), key, plaintext as Uint8Array<ArrayBuffer>),
    ),
  ]);
  // WebCrypto gives the ciphertext and the tag in one piece.
  const tagStart = sealed.byteLength - AUTH_TAG_BYTES;
  return formatEnvelope({
    wrappedKey: new Uint8Array(wrappedKey),
    wrappedIv: new Uint8Array(wrappedIv),
    authTag: new Uint8Array(sealed, tagStart),
    ciphertext: new Uint8Array(sealed, 0, tagStart),
  });
}

/**
 * Opens one sealed message.
 *
 * @param sealed  wire bytes; nothing in them is trusted yet
 * @param unwrap  gives the value behind an RSA wrap; asked twice, for the content key and for the vector
 * @returns the plaintext; authentic once this promise resolves, never before
 * @throws {PolarisError} ENVELOPE_MALFORMED if the layout is wrong
 * @throws {PolarisError} ENVELOPE_OPEN_FAILED for every cryptographic failure, without saying which
 * @throws {PolarisError} what `unwrap` rejects with, if it is a PolarisError of another code
 * @see RFC 8017 §7.1 (OAEP), NIST SP 800-38D (GCM), RFC 7516 §11.5 (one failure, one path)
 */
export async function openEnvelope(sealed: Uint8Array, unwrap: KeyUnwrap): Promise<Uint8Array<ArrayBuffer>> {
  const { wrappedKey, wrappedIv, authTag, ciphertext } = parseEnvelope(sealed);
  const [contentKey, iv] = await Promise.all([
    unwrapOrRandom(unwrap, wrappedKey, CONTENT_KEY_BYTES, CONTENT_KEY_BYTES),
    unwrapOrRandom(unwrap, wrappedIv, MIN_IV_BYTES, MAX_IV_BYTES),
  ]);
  const ciphertextAndTag = new Uint8Array(ciphertext.length + authTag.length);
  ciphertextAndTag.set(ciphertext);
  ciphertextAndTag.set(authTag, ciphertext.length);
  try {
    const key = await importContentKey(contentKey, "decrypt");
    return new Uint8Array(await crypto.subtle.decrypt(gcm(iv), key, ciphertextAndTag));
  } catch {
    throw new PolarisError("ENVELOPE_OPEN_FAILED", "cannot open envelope");
  }
}

/**
 * Where the wrap is wrong, goes on with random bytes, so that a bad padding, a bad length and a bad tag all end in the
 * same decryption that fails: who sends altered wraps learns nothing from how or when they fail (Manger's attack).
 */
async function unwrapOrRandom(
  unwrap: KeyUnwrap,
  wrapped: Uint8Array,
  minBytes: number,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const substitute = crypto.getRandomValues(new Uint8Array(CONTENT_KEY_BYTES));
  try {
    const value = await unwrap(wrapped);
    return value.length >= minBytes && value.length <= maxBytes ? new Uint8Array(value) : substitute;
  } catch (error) {
    if (isPolarisError(error) && error.code !== "ENVELOPE_OPEN_FAILED") throw error;
    return substitute;
  }
}

function gcm(iv: Uint8Array<ArrayBuffer>): { name: string; iv: Uint8Array<ArrayBuffer>; tagLength: number } {
  return { name: "AES-GCM", iv, tagLength: AUTH_TAG_BYTES * 8 };
}

function importContentKey(bytes: Uint8Array<ArrayBuffer>, usage: "encrypt" | "decrypt"): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", bytes, "AES-GCM", false, [usage]);
}
