import { PolarisError } from "./errors.ts";
import { encodeHex } from "./hex.ts";

/** Plaintext bytes of every chunk but the last, which has less or as many. */
export const DATA_CHUNK_BYTES = 64 * 1024;

/** GCM tag behind each chunk. */
export const DATA_TAG_BYTES = 16;

/** Chunks that one content key may seal: as many as the counter in the nonce can tell apart, 256 TiB. */
export const MAX_DATA_CHUNKS = 2 ** 32;

/** Bytes of the key that is wrapped. */
export const DATA_KEY_BYTES = 32;

/** Bytes that the chunk key is derived with, random for each piece of sealed data. */
export const DATA_SALT_BYTES = 32;

const MAGIC = new TextEncoder().encode("polaris-data");
const VERSION = 1;

/** RSA-OAEP(SHA-256) for the content key, HKDF-SHA256 for the chunk key, AES-256-GCM for the chunks. */
const ALGORITHM = 1;

const KEY_ID_BYTES = 32;

/** Wraps of RSA-2048 to RSA-8192, the keys that importPublicKey takes. */
const MIN_WRAPPED_BYTES = 256;
const MAX_WRAPPED_BYTES = 1024;

/** Where the members of the header begin, up to the wrapped key (docs/data.md). */
const OFFSET = {
  version: 12,
  algorithm: 13,
  chunkBytes: 14,
  keyId: 18,
  salt: 50,
  wrappedKeyBytes: 82,
  wrappedKey: 84,
} as const;

/** Bytes of the header before the wrapped key; they say how long that is. */
export const DATA_HEADER_START_BYTES = OFFSET.wrappedKey;

/** What stands before the chunks of sealed data. */
export interface DataHeader {
  /** `sha256:<64 lowercase hex>` of the public key that the data is sealed to. */
  readonly keyId: string;
  /** {@link DATA_SALT_BYTES} bytes. */
  readonly salt: Uint8Array;
  /** RSA-OAEP(SHA-256) of {@link formatWrappedValue}. */
  readonly wrappedKey: Uint8Array;
}

/** The header before its last member is read. */
export type DataHeaderStart = Omit<DataHeader, "wrappedKey"> & { readonly wrappedKeyBytes: number };

/** Lays out the header of polaris-data v1. */
export function formatDataHeader({ keyId, salt, wrappedKey }: DataHeader): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(OFFSET.wrappedKey + wrappedKey.length);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint8(OFFSET.version, VERSION);
  view.setUint8(OFFSET.algorithm, ALGORITHM);
  view.setUint32(OFFSET.chunkBytes, DATA_CHUNK_BYTES);
  bytes.set(decodeKeyId(keyId), OFFSET.keyId);
  bytes.set(salt, OFFSET.salt);
  view.setUint16(OFFSET.wrappedKeyBytes, wrappedKey.length);
  bytes.set(wrappedKey, OFFSET.wrappedKey);
  return bytes;
}

/**
 * Reads the layout of a header up to its wrapped key; pure, no cryptography, nothing in it is trusted yet.
 *
 * @param bytes  the first {@link DATA_HEADER_START_BYTES} bytes; fewer only if the data ends there
 * @throws {PolarisError} DATA_MALFORMED if this is something else, or of another version
 * @throws {PolarisError} DATA_OPEN_FAILED if it may be what is left after a cut
 */
export function parseDataHeaderStart(bytes: Uint8Array): DataHeaderStart {
  if (bytes.subarray(0, MAGIC.length).some((byte, index) => byte !== MAGIC[index])) {
    throw malformed('does not begin with "polaris-data"');
  }
  if (bytes.length < DATA_HEADER_START_BYTES) throw dataOpenFailed();

  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint8(OFFSET.version);
  if (version !== VERSION) throw malformed(`is of version ${version}, expected ${VERSION}`);
  const algorithm = view.getUint8(OFFSET.algorithm);
  if (algorithm !== ALGORITHM) throw malformed(`names algorithm ${algorithm}, expected ${ALGORITHM}`);
  const chunkBytes = view.getUint32(OFFSET.chunkBytes);
  if (chunkBytes !== DATA_CHUNK_BYTES) {
    throw malformed(`announces chunks of ${chunkBytes} bytes, expected ${DATA_CHUNK_BYTES}`);
  }
  const wrappedKeyBytes = view.getUint16(OFFSET.wrappedKeyBytes);
  if (wrappedKeyBytes < MIN_WRAPPED_BYTES || wrappedKeyBytes > MAX_WRAPPED_BYTES) {
    throw malformed(
      `announces a wrapped key of ${wrappedKeyBytes} bytes, expected ${MIN_WRAPPED_BYTES} to ${MAX_WRAPPED_BYTES}`,
    );
  }
  return {
    keyId: `sha256:${encodeHex(bytes.subarray(OFFSET.keyId, OFFSET.keyId + KEY_ID_BYTES))}`,
    salt: bytes.slice(OFFSET.salt, OFFSET.salt + DATA_SALT_BYTES),
    wrappedKeyBytes,
  };
}

/** Begins every value that is wrapped for data: no message of wire v1 wraps such a value, and no data anything else. */
const WRAPPED_VALUE_PREFIX = new TextEncoder().encode("polaris-data-v1\0");

/**
 * What is wrapped: `polaris-data-v1`, a zero byte, and the content key. The prefix keeps keys of data and keys of requests
 * apart where one RSA key unwraps both; OAEP's label would do, but Cloud KMS has none.
 */
export function formatWrappedValue(dataKey: Uint8Array): Uint8Array<ArrayBuffer> {
  const value = new Uint8Array(WRAPPED_VALUE_PREFIX.length + DATA_KEY_BYTES);
  value.set(WRAPPED_VALUE_PREFIX);
  value.set(dataKey, WRAPPED_VALUE_PREFIX.length);
  return value;
}

/** The content key in an unwrapped value; `undefined` if the value was wrapped for something else. */
export function parseWrappedValue(value: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  if (value.length !== WRAPPED_VALUE_PREFIX.length + DATA_KEY_BYTES) return undefined;
  const isForData = WRAPPED_VALUE_PREFIX.every((byte, index) => byte === value[index]);
  return isForData ? new Uint8Array(value.subarray(WRAPPED_VALUE_PREFIX.length)) : undefined;
}

/** Bytes of the random beginning of all nonces of one piece of data. */
export const NONCE_PREFIX_BYTES = 7;

const NONCE_BYTES = 12;

/**
 * The nonce of one chunk: `prefix | u32 BE index | 1 for the last chunk, otherwise 0` (STREAM, Hoang, Reyhanitabar, Rogaway
 * and Vizár 2015).
 *
 * @param index  0, 1, …
 * @throws {PolarisError} DATA_MALFORMED for more chunks than the counter can tell apart
 */
export function formatChunkNonce(
  prefix: Uint8Array,
  index: number,
  isLast: boolean,
): Uint8Array<ArrayBuffer> {
  if (index >= MAX_DATA_CHUNKS) {
    throw malformed(`is longer than ${MAX_DATA_CHUNKS} chunks of ${DATA_CHUNK_BYTES} bytes`);
  }
  const nonce = new Uint8Array(NONCE_BYTES);
  nonce.set(prefix);
  new DataView(nonce.buffer).setUint32(NONCE_PREFIX_BYTES, index);
  nonce[NONCE_BYTES - 1] = isLast ? 1 : 0;
  return nonce;
}

/** The one error for everything that is wrong inside cryptography, and for what a cut leaves, with one text. */
export function dataOpenFailed(): PolarisError {
  return new PolarisError("DATA_OPEN_FAILED", "cannot open data");
}

function decodeKeyId(keyId: string): Uint8Array {
  const hex = keyId.slice("sha256:".length);
  return Uint8Array.from({ length: KEY_ID_BYTES }, (_, index) =>
    Number.parseInt(hex.slice(index * 2, index * 2 + 2), 16),
  );
}

/** The layout is public, so its errors may say what is wrong; cryptographic failures never do. */
function malformed(problem: string): PolarisError {
  return new PolarisError("DATA_MALFORMED", `data ${problem}`);
}
