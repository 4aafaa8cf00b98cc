import { decodeBase64, encodeBase64 } from "./base64.ts";
import { PolarisError } from "./errors.ts";

/** Bytes of the big-endian number that says how long the header is. */
const LENGTH_BYTES = 4;

/** Longest header that is read: two RSA-8192 wraps in base64 and the JSON around them are 2.8 KB. */
const MAX_HEADER_BYTES = 4096;

/** Longest RSA ciphertext: RSA-8192. */
const MAX_WRAPPED_BYTES = 1024;

/** Length of the GCM tag, in bytes (NIST SP 800-38D §5.2.1.2); the short tags are refused. */
export const AUTH_TAG_BYTES = 16;

/** The values that a sealed message carries. Nothing in them is trusted before the message is opened. */
export interface EnvelopeParts {
  /** RSA-OAEP(SHA-256) of the 32-byte content key; as long as the recipient's modulus. */
  readonly wrappedKey: Uint8Array;
  /** The same wrap of the initialization vector. */
  readonly wrappedIv: Uint8Array;
  /** GCM tag, {@link AUTH_TAG_BYTES} bytes. */
  readonly authTag: Uint8Array;
  /** AES-256-GCM ciphertext, as long as the plaintext. */
  readonly ciphertext: Uint8Array;
}

/**
 * Lays out a sealed message of wire v1: `u32 BE headerLength | header JSON | ciphertext`, the header being
 * `{"wrappedKey","wrappedIV","authTag"}` in standard base64 (docs/envelope.md).
 */
export function formatEnvelope(parts: EnvelopeParts): Uint8Array<ArrayBuffer> {
  const header = new TextEncoder().encode(
    JSON.stringify({
      wrappedKey: encodeBase64(parts.wrappedKey),
      wrappedIV: encodeBase64(parts.wrappedIv),
      authTag: encodeBase64(parts.authTag),
    }),
  );
  const envelope = new Uint8Array(LENGTH_BYTES + header.length + parts.ciphertext.length);
  new DataView(envelope.buffer).setUint32(0, header.length);
  envelope.set(header, LENGTH_BYTES);
  envelope.set(parts.ciphertext, LENGTH_BYTES + header.length);
  return envelope;
}

/**
 * Reads the layout of a sealed message of wire v1; pure, no cryptography.
 *
 * The header is read by member name, in any order, and must hold exactly its three members in canonical base64.
 *
 * @param bytes  a whole message; the ciphertext of the result is a view of it
 * @throws {PolarisError} ENVELOPE_MALFORMED
 */
export function parseEnvelope(bytes: Uint8Array): EnvelopeParts {
  if (bytes.length < LENGTH_BYTES) throw malformed(`is ${bytes.length} bytes long`);
  const headerLength = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0);
  if (headerLength > MAX_HEADER_BYTES) {
    throw malformed(`announces a header of ${headerLength} bytes, expected at most ${MAX_HEADER_BYTES}`);
  }
  const ciphertextStart = LENGTH_BYTES + headerLength;
  if (bytes.length < ciphertextStart) throw malformed("ends within its header");

  const header = parseHeader(bytes.subarray(LENGTH_BYTES, ciphertextStart));
  return { ...header, ciphertext: bytes.subarray(ciphertextStart) };
}

function parseHeader(bytes: Uint8Array): Omit<EnvelopeParts, "ciphertext"> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    throw malformed("has a header that is not JSON");
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) {
    throw malformed("has a header that is not a JSON object");
  }
  const { wrappedKey, wrappedIV, authTag, ...unknown } = header as Record<string, unknown>;
  if (Object.keys(unknown).length > 0) throw malformed("has an unknown header member");
  return {
    wrappedKey: parseMember("wrappedKey", wrappedKey, 1, MAX_WRAPPED_BYTES),
    wrappedIv: parseMember("wrappedIV", wrappedIV, 1, MAX_WRAPPED_BYTES),
    authTag: parseMember("authTag", authTag, AUTH_TAG_BYTES, AUTH_TAG_BYTES),
  };
}

function parseMember(name: string, value: unknown, minBytes: number, maxBytes: number): Uint8Array {
  const bytes = typeof value === "string" ? decodeBase64(value) : undefined;
  if (bytes === undefined) throw malformed(`has no base64 text as ${name}`);
  if (bytes.length < minBytes || bytes.length > maxBytes) {
    throw malformed(`has a ${name} of ${bytes.length} bytes, expected ${minBytes} to ${maxBytes}`);
  }
  return bytes;
}

/** The layout is public, so its errors may say what is wrong; cryptographic failures never do (see envelope.ts). */
function malformed(problem: string): PolarisError {
  return new PolarisError("ENVELOPE_MALFORMED", `envelope ${problem}`);
}
