/**
 * The second implementation of `polaris-data` v1, after docs/data.md and without anything of the sdk: RSA with node-forge, the
 * rest with node:crypto. It makes the golden vectors (test/vectors/polaris-data-v1.json).
 */
import { createCipheriv, createDecipheriv, createHash, createPublicKey, hkdfSync } from "node:crypto";
import { readFileSync } from "node:fs";
import forge from "node-forge";

const CHUNK_BYTES = 65_536;
const TAG_BYTES = 16;
const WRAP_PREFIX = "polaris-data-v1\0";

/** Everything that is random when data is sealed. */
export interface DataSecrets {
  readonly dataKey: Buffer;
  readonly salt: Buffer;
  /** Seed of the OAEP encoding. */
  readonly oaepSeed: Buffer;
}

export interface DataVector {
  readonly name: string;
  readonly context: string;
  /** The plaintext is this many bytes, the one at `i` being `i * 7 mod 251`. */
  readonly plaintextBytes: number;
  readonly dataKeyHex: string;
  readonly saltHex: string;
  readonly oaepSeedHex: string;
  readonly headerBase64: string;
  readonly chunkKeyHex: string;
  readonly noncePrefixHex: string;
  /** The tags of all chunks. */
  readonly tagsHex: readonly string[];
  readonly sealedSha256: string;
  /** The whole of it, where it is short. */
  readonly sealedBase64?: string;
}

interface DataVectors {
  readonly privateKeyPem: string;
  readonly publicKeyPem: string;
  readonly keyId: string;
  readonly vectors: readonly DataVector[];
}

export const DATA_VECTORS = JSON.parse(
  readFileSync(new URL("vectors/polaris-data-v1.json", import.meta.url), "utf8"),
) as DataVectors;

export function patternBytes(byteCount: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: byteCount }, (_, index) => (index * 7) % 251));
}

/** `sha256:<hex>` of the SPKI in DER. */
export function keyIdOf(publicKeyPem: string): string {
  const spki = createPublicKey(publicKeyPem).export({ type: "spki", format: "der" });
  return `sha256:${createHash("sha256").update(spki).digest("hex")}`;
}

/** The header of data that is sealed with these secrets. */
export function referenceHeader(publicKeyPem: string, { dataKey, salt, oaepSeed }: DataSecrets): Buffer {
  const wrapped = forge.pki
    .publicKeyFromPem(publicKeyPem)
    .encrypt(WRAP_PREFIX + dataKey.toString("latin1"), "RSA-OAEP", {
      ...oaepHashes(),
      seed: oaepSeed.toString("latin1"),
    });
  const fixed = Buffer.alloc(84);
  fixed.write("polaris-data", "latin1");
  fixed.writeUInt8(1, 12);
  fixed.writeUInt8(1, 13);
  fixed.writeUInt32BE(CHUNK_BYTES, 14);
  fixed.write(keyIdOf(publicKeyPem).slice(7), 18, "hex");
  salt.copy(fixed, 50);
  fixed.writeUInt16BE(wrapped.length, 82);
  return Buffer.concat([fixed, Buffer.from(wrapped, "latin1")]);
}

/** Key and nonce prefix of the chunks behind a header. */
export function referenceChunkKey(
  header: Buffer,
  dataKey: Buffer,
  context: string,
): { chunkKey: Buffer; noncePrefix: Buffer } {
  const info = Buffer.concat([
    Buffer.from("polaris-data-v1 chunks\0", "latin1"),
    createHash("sha256").update(header).digest(),
    createHash("sha256").update(context, "utf8").digest(),
  ]);
  const derived = Buffer.from(hkdfSync("sha256", dataKey, header.subarray(50, 82), info, 39));
  return { chunkKey: derived.subarray(0, 32), noncePrefix: derived.subarray(32) };
}

/** One sealed chunk: ciphertext and tag. */
export function referenceChunk(
  { chunkKey, noncePrefix }: { chunkKey: Buffer; noncePrefix: Buffer },
  index: number,
  isLast: boolean,
  plaintext: Uint8Array,
): Buffer {
  const cipher = createCipheriv("aes-256-gcm", chunkKey, nonceOf(noncePrefix, index, isLast));
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/** Chunks behind a header, each ciphertext and tag. */
export function referenceChunks(
  header: Buffer,
  dataKey: Buffer,
  context: string,
  plaintext: Buffer,
): Buffer[] {
  const key = referenceChunkKey(header, dataKey, context);
  const count = Math.max(1, Math.ceil(plaintext.length / CHUNK_BYTES));
  return Array.from({ length: count }, (_, index) =>
    referenceChunk(
      key,
      index,
      index === count - 1,
      plaintext.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES),
    ),
  );
}

/** Opens sealed data that is as it should be; throws whatever for any other. */
export function openAsReference(sealed: Uint8Array, privateKeyPem: string, context: string): Buffer {
  const bytes = Buffer.from(sealed);
  const headerBytes = 84 + bytes.readUInt16BE(82);
  const value = forge.pki
    .privateKeyFromPem(privateKeyPem)
    .decrypt(bytes.toString("latin1", 84, headerBytes), "RSA-OAEP", oaepHashes());
  if (!value.startsWith(WRAP_PREFIX) || value.length !== 48) throw new Error("wrapped for something else");
  const dataKey = Buffer.from(value.slice(WRAP_PREFIX.length), "latin1");
  const { chunkKey, noncePrefix } = referenceChunkKey(bytes.subarray(0, headerBytes), dataKey, context);
  const plaintext: Buffer[] = [];
  for (let at = headerBytes, index = 0; at < bytes.length; index++) {
    const end = Math.min(at + CHUNK_BYTES + TAG_BYTES, bytes.length);
    const nonce = nonceOf(noncePrefix, index, end === bytes.length);
    const decipher = createDecipheriv("aes-256-gcm", chunkKey, nonce);
    decipher.setAuthTag(bytes.subarray(end - TAG_BYTES, end));
    plaintext.push(decipher.update(bytes.subarray(at, end - TAG_BYTES)), decipher.final());
    at = end;
  }
  return Buffer.concat(plaintext);
}

/** A vector made anew from its inputs, with the sealed bytes. */
export function makeDataVector(
  { name, context, plaintextBytes, dataKeyHex, saltHex, oaepSeedHex }: DataVectorInputs,
  publicKeyPem: string,
): { vector: DataVector; sealed: Buffer } {
  const dataKey = Buffer.from(dataKeyHex, "hex");
  const header = referenceHeader(publicKeyPem, {
    dataKey,
    salt: Buffer.from(saltHex, "hex"),
    oaepSeed: Buffer.from(oaepSeedHex, "hex"),
  });
  const { chunkKey, noncePrefix } = referenceChunkKey(header, dataKey, context);
  const chunks = referenceChunks(header, dataKey, context, patternBytes(plaintextBytes));
  const sealed = Buffer.concat([header, ...chunks]);
  const vector = {
    name,
    context,
    plaintextBytes,
    dataKeyHex,
    saltHex,
    oaepSeedHex,
    headerBase64: header.toString("base64"),
    chunkKeyHex: chunkKey.toString("hex"),
    noncePrefixHex: noncePrefix.toString("hex"),
    tagsHex: chunks.map((chunk) => chunk.toString("hex", chunk.length - TAG_BYTES)),
    sealedSha256: createHash("sha256").update(sealed).digest("hex"),
    ...(sealed.length < 2048 ? { sealedBase64: sealed.toString("base64") } : {}),
  };
  return { vector, sealed };
}

type DataVectorInputs = Pick<
  DataVector,
  "name" | "context" | "plaintextBytes" | "dataKeyHex" | "saltHex" | "oaepSeedHex"
>;

function nonceOf(prefix: Buffer, index: number, isLast: boolean): Buffer {
  const tail = Buffer.alloc(5);
  tail.writeUInt32BE(index);
  tail.writeUInt8(isLast ? 1 : 0, 4);
  return Buffer.concat([prefix, tail]);
}

function oaepHashes(): { md: forge.md.MessageDigest; mgf1: { md: forge.md.MessageDigest } } {
  return { md: forge.md.sha256.create(), mgf1: { md: forge.md.sha256.create() } };
}
