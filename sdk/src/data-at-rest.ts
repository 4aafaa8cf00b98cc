import { type ByteSource, createByteSource } from "./byte-source.ts";
import {
  DATA_CHUNK_BYTES,
  DATA_HEADER_START_BYTES,
  DATA_KEY_BYTES,
  DATA_SALT_BYTES,
  DATA_TAG_BYTES,
  dataOpenFailed,
  formatChunkNonce,
  formatDataHeader,
  formatWrappedValue,
  NONCE_PREFIX_BYTES,
  parseDataHeaderStart,
  parseWrappedValue,
} from "./data-format.ts";
import type { KeyUnwrap } from "./envelope.ts";
import { isPolarisError, PolarisError } from "./errors.ts";
import { KEY_WRAP_ALGORITHM, type RecipientKey } from "./public-key.ts";

export interface DataOptions {
  /**
   * What the data is for, for instance its name or whose it is: not in the sealed bytes, and they open with the same text
   * only, to the byte. Default: none, which is the same as an empty one.
   */
  readonly context?: string;
}

/** One content key to unwrap. */
export interface DataKeyRequest {
  /** `sha256:<64 lowercase hex>`: the key that the data says it is sealed to. */
  readonly keyId: string;
  /** RSA-OAEP(SHA-256) of a value of formatWrappedValue. */
  readonly wrappedKey: Uint8Array;
  /** Aborted when nobody waits for the data any more. */
  readonly signal?: AbortSignal;
}

/**
 * Gives the content key (32 bytes) behind a wrap. May reject with a PolarisError of another code than DATA_OPEN_FAILED if the
 * key cannot be asked (DATA_KEY_UNAVAILABLE, …); every other rejection means: not for this key.
 */
export type DataKeyUnwrap = (request: DataKeyRequest) => Promise<Uint8Array>;

type Bytes = Uint8Array<ArrayBuffer>;

/**
 * Seals data of any length to a public key, to be kept and opened later: `polaris-data` v1 (docs/data.md).
 *
 * The key should be a permanent one: what is sealed to a key that ends with its process cannot be opened after that.
 *
 * @returns the sealed bytes, made as they are read; one header and 16 bytes for each 64 KiB longer than the plaintext
 * @throws {PolarisError} USAGE_INVALID for a context that is not Unicode text
 */
export function sealData(
  plaintext: ReadableStream<Uint8Array> | Uint8Array,
  recipient: RecipientKey,
  options: DataOptions = {},
): ReadableStream<Bytes> {
  const context = encodeContext(options.context);
  const source = createByteSource(plaintext);
  return streamOf(source, () => sealChunks(source, recipient, context));
}

/**
 * Opens sealed data. Each chunk is given out once it is authentic and known to stand where it was sealed; that the data is
 * whole is known at the end of the stream only. So do nothing final with a part before the stream has ended without an error.
 *
 * The stream fails with a PolarisError: DATA_MALFORMED if the bytes are not polaris-data v1; DATA_OPEN_FAILED, without saying
 * why, for a wrong key or context and for bytes that were changed, moved, added or cut off; what `unwrap` rejects with, if
 * the key cannot be asked.
 *
 * @param unwrap  asked once; see {@link DataKeyUnwrap}
 * @throws {PolarisError} USAGE_INVALID for a context that is not Unicode text
 */
export function openData(
  sealed: ReadableStream<Uint8Array> | Uint8Array,
  unwrap: DataKeyUnwrap,
  options: DataOptions = {},
): ReadableStream<Bytes> {
  const context = encodeContext(options.context);
  const source = createByteSource(sealed);
  return streamOf(source, (signal) => openChunks(source, unwrap, context, signal));
}

/** Unwraps content keys of data with a key that unwraps any value, for instance one of a key handler. */
export function toDataKeyUnwrap(unwrap: KeyUnwrap): DataKeyUnwrap {
  return async ({ wrappedKey }) => {
    const dataKey = parseWrappedValue(await unwrap(wrappedKey));
    if (dataKey === undefined) throw dataOpenFailed();
    return dataKey;
  };
}

async function* sealChunks(
  source: ByteSource,
  recipient: RecipientKey,
  context: Bytes,
): AsyncGenerator<Bytes> {
  const dataKey = crypto.getRandomValues(new Uint8Array(DATA_KEY_BYTES));
  const wrappedKey = await crypto.subtle.encrypt(
    KEY_WRAP_ALGORITHM,
    recipient.cryptoKey,
    formatWrappedValue(dataKey),
  );
  const salt = crypto.getRandomValues(new Uint8Array(DATA_SALT_BYTES));
  const header = formatDataHeader({
    keyId: recipient.keyId,
    salt,
    wrappedKey: new Uint8Array(wrappedKey),
  });
  const { key, noncePrefix } = await deriveChunkKey({ dataKey, salt, header, context, usage: "encrypt" });
  yield header;
  for (let index = 0, isLast = false; !isLast; index++) {
    const plaintext = await source.read(DATA_CHUNK_BYTES);
    isLast = await source.isAtEnd();
    const algorithm = gcm(formatChunkNonce(noncePrefix, index, isLast));
    yield new Uint8Array(await crypto.subtle.encrypt(algorithm, key, plaintext as Bytes));
  }
}

async function* openChunks(
  source: ByteSource,
  unwrap: DataKeyUnwrap,
  context: Bytes,
  signal: AbortSignal,
): AsyncGenerator<Bytes> {
  const start = await source.read(DATA_HEADER_START_BYTES);
  const { keyId, salt, wrappedKeyBytes } = parseDataHeaderStart(start);
  const header = new Uint8Array(start.length + wrappedKeyBytes);
  header.set(start);
  const rest = await source.read(wrappedKeyBytes);
  if (rest.length < wrappedKeyBytes) throw dataOpenFailed();
  header.set(rest, start.length);

  const wrappedKey = header.slice(start.length);
  const dataKey = await unwrapOrRandom(unwrap, { keyId, wrappedKey, signal });
  const { key, noncePrefix } = await deriveChunkKey({ dataKey, salt, header, context, usage: "decrypt" });
  for (let index = 0, isLast = false; !isLast; index++) {
    const sealed = await source.read(DATA_CHUNK_BYTES + DATA_TAG_BYTES);
    isLast = await source.isAtEnd();
    const algorithm = gcm(formatChunkNonce(noncePrefix, index, isLast));
    const plaintext = await crypto.subtle.decrypt(algorithm, key, sealed as Bytes).catch(() => {
      throw dataOpenFailed();
    });
    // Only empty data has an empty chunk: so there is one way to cut data into chunks.
    if (plaintext.byteLength === 0 && index > 0) throw dataOpenFailed();
    if (plaintext.byteLength > 0) yield new Uint8Array(plaintext);
  }
}

/**
 * Where the wrap is wrong, goes on with a random key, so that everything that is wrong ends in the same decryption that
 * fails (RFC 7516 §11.5).
 */
async function unwrapOrRandom(unwrap: DataKeyUnwrap, request: DataKeyRequest): Promise<Bytes> {
  const substitute = crypto.getRandomValues(new Uint8Array(DATA_KEY_BYTES));
  try {
    const dataKey = await unwrap(request);
    return dataKey.length === DATA_KEY_BYTES ? new Uint8Array(dataKey) : substitute;
  } catch (error) {
    const isKeyAway =
      isPolarisError(error) && !["DATA_OPEN_FAILED", "ENVELOPE_OPEN_FAILED"].includes(error.code);
    if (isKeyAway || request.signal?.aborted === true) throw error;
    return substitute;
  }
}

interface ChunkKeyInputs {
  readonly dataKey: Bytes;
  readonly salt: Uint8Array;
  /** All bytes before the first chunk. */
  readonly header: Bytes;
  /** UTF-8. */
  readonly context: Bytes;
  readonly usage: "encrypt" | "decrypt";
}

const CHUNK_KEY_BYTES = 32;
const CHUNK_KEY_LABEL = new TextEncoder().encode("polaris-data-v1 chunks\0");

/**
 * HKDF-SHA256 (RFC 5869) of the content key: the key and the beginning of the nonces for one header and one context. Another
 * byte in either gives another key. Both go in as hashes, because Node takes no more than 1024 bytes.
 */
async function deriveChunkKey({
  dataKey,
  salt,
  header,
  context,
  usage,
}: ChunkKeyInputs): Promise<{ key: CryptoKey; noncePrefix: Bytes }> {
  const [headerHash, contextHash, secret] = await Promise.all([
    crypto.subtle.digest("SHA-256", header),
    crypto.subtle.digest("SHA-256", context),
    crypto.subtle.importKey("raw", dataKey, "HKDF", false, ["deriveBits"]),
  ]);
  const info = new Uint8Array(CHUNK_KEY_LABEL.length + headerHash.byteLength + contextHash.byteLength);
  info.set(CHUNK_KEY_LABEL);
  info.set(new Uint8Array(headerHash), CHUNK_KEY_LABEL.length);
  info.set(new Uint8Array(contextHash), CHUNK_KEY_LABEL.length + headerHash.byteLength);
  const derived = await crypto.subtle.deriveBits(
    { name: "HKDF", hash: "SHA-256", salt: salt as Bytes, info },
    secret,
    (CHUNK_KEY_BYTES + NONCE_PREFIX_BYTES) * 8,
  );
  return {
    key: await crypto.subtle.importKey("raw", derived.slice(0, CHUNK_KEY_BYTES), "AES-GCM", false, [usage]),
    noncePrefix: new Uint8Array(derived, CHUNK_KEY_BYTES),
  };
}

function gcm(iv: Bytes): { name: string; iv: Bytes; tagLength: number } {
  return { name: "AES-GCM", iv, tagLength: DATA_TAG_BYTES * 8 };
}

function encodeContext(context = ""): Bytes {
  // The encoder would write every lone surrogate as the same character.
  if (!context.isWellFormed()) throw new PolarisError("USAGE_INVALID", "the context is not Unicode text");
  return new TextEncoder().encode(context);
}

/** A stream that asks for the next chunk when it is read, and holds none. */
function streamOf(
  source: ByteSource,
  generate: (signal: AbortSignal) => AsyncGenerator<Bytes>,
): ReadableStream<Bytes> {
  const end = new AbortController();
  const chunks = generate(end.signal);
  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        try {
          const { done, value } = await chunks.next();
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          // The source may have failed itself, and its end is not worth waiting for.
          void source.cancel(error).catch(() => undefined);
          throw error;
        }
      },
      async cancel(reason) {
        end.abort(reason);
        await source.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}
