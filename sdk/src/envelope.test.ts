import assert from "node:assert/strict";
import { constants, createCipheriv, publicEncrypt, randomBytes } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import forge from "node-forge";
import { openEnvelope, sealEnvelope } from "./envelope.ts";
import { type EnvelopeParts, formatEnvelope, parseEnvelope } from "./envelope-format.ts";
import { PolarisError } from "./errors.ts";
import { createEphemeralKeyHandler } from "./key-handler.ts";
import { importPublicKey } from "./public-key.ts";

const forgeKeys = forge.pki.rsa.generateKeyPair({ bits: 2048 });
const forgeRecipient = await importPublicKey(forge.pki.publicKeyToPem(forgeKeys.publicKey));

const OAEP = { md: forge.md.sha256.create(), mgf1: { md: forge.md.sha256.create() } };
const binary = (bytes: Uint8Array): string => Buffer.from(bytes).toString("binary");

/** The second implementation: wire v1 as the original has it, all of it with node-forge. */
function forgeSeal(plaintext: Uint8Array, ivBytes: number, keyBytes = 32): Buffer {
  const key = forge.random.getBytesSync(keyBytes);
  const iv = forge.random.getBytesSync(ivBytes);
  const cipher = forge.cipher.createCipher("AES-GCM", key);
  cipher.start({ iv, tagLength: 128 });
  cipher.update(forge.util.createBuffer(binary(plaintext)));
  assert.ok(cipher.finish());
  const wrap = (value: string): string =>
    forge.util.encode64(forgeKeys.publicKey.encrypt(value, "RSA-OAEP", OAEP));
  const header = JSON.stringify({
    wrappedKey: wrap(key),
    wrappedIV: wrap(iv),
    authTag: forge.util.encode64(cipher.mode.tag.getBytes()),
  });
  const length = Buffer.alloc(4);
  length.writeUInt32BE(header.length);
  return Buffer.concat([length, Buffer.from(header), Buffer.from(cipher.output.getBytes(), "binary")]);
}

function forgeOpen(sealed: Uint8Array): { plaintext: Buffer; keyBytes: number; ivBytes: number } {
  const bytes = Buffer.from(sealed);
  const headerEnd = 4 + bytes.readUInt32BE(0);
  const header = JSON.parse(bytes.toString("utf8", 4, headerEnd)) as Record<string, string>;
  const unwrap = (text: string): string => forgeUnwrap(forge.util.decode64(text));
  const key = unwrap(header["wrappedKey"]!);
  const iv = unwrap(header["wrappedIV"]!);
  const decipher = forge.cipher.createDecipher("AES-GCM", key);
  const tag = forge.util.createBuffer(forge.util.decode64(header["authTag"]!));
  decipher.start({ iv, tagLength: 128, tag });
  decipher.update(forge.util.createBuffer(bytes.toString("binary", headerEnd)));
  assert.ok(decipher.finish(), "tag");
  return {
    plaintext: Buffer.from(decipher.output.getBytes(), "binary"),
    keyBytes: key.length,
    ivBytes: iv.length,
  };
}

function forgeUnwrap(wrapped: string): string {
  return forgeKeys.privateKey.decrypt(wrapped, "RSA-OAEP", OAEP);
}

const unwrapWithForge = async (wrapped: Uint8Array): Promise<Uint8Array> =>
  Buffer.from(forgeUnwrap(binary(wrapped)), "binary");

const keys = createEphemeralKeyHandler({ modulusLength: 2048 });
const recipient = await importPublicKey(await keys.publicKeyPem());

/** The one way in which opening may fail for cryptographic reasons. */
function isOpenFailure(error: unknown): boolean {
  assert.ok(error instanceof PolarisError);
  const { code, message, cause, details, hint } = error;
  assert.deepEqual(
    { code, message, cause, details, hint },
    {
      code: "ENVELOPE_OPEN_FAILED",
      message: "cannot open envelope",
      cause: undefined,
      details: undefined,
      hint: undefined,
    },
  );
  return true;
}

function isRefusal(error: unknown): boolean {
  return (error instanceof PolarisError && error.code === "ENVELOPE_MALFORMED") || isOpenFailure(error);
}

test("opens what it sealed, for any bytes", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 5000 }), async (plaintext) => {
      const sealed = await sealEnvelope(plaintext, recipient);
      assert.deepEqual(await openEnvelope(sealed, keys.unwrap), plaintext);
    }),
    { numRuns: 20 },
  );
});

test("seals so that the second implementation opens it, with a 32-byte key and a 12-byte vector", async () => {
  for (const text of ["", "a", "grüße", "x".repeat(100_000)]) {
    const opened = forgeOpen(await sealEnvelope(Buffer.from(text), forgeRecipient));
    assert.deepEqual(opened, { plaintext: Buffer.from(text), keyBytes: 32, ivBytes: 12 });
  }
});

test("opens what the second implementation sealed, with vectors of 12, 16 and 128 bytes", async () => {
  for (const ivBytes of [12, 16, 128]) {
    const plaintext = Buffer.from(`vector of ${ivBytes} bytes`);
    const opened = await openEnvelope(forgeSeal(plaintext, ivBytes), unwrapWithForge);
    assert.deepEqual(Buffer.from(opened), plaintext);
  }
});

// node-forge gets GCM wrong for vectors that do not fill whole blocks, so OpenSSL seals these.
test("opens what OpenSSL sealed, with vectors of odd lengths", async () => {
  for (const ivBytes of [13, 17, 127]) {
    const [contentKey, iv] = [randomBytes(32), randomBytes(ivBytes)];
    const cipher = createCipheriv("aes-256-gcm", contentKey, iv);
    const ciphertext = Buffer.concat([cipher.update("odd"), cipher.final()]);
    const wrap = (value: Buffer): Buffer =>
      publicEncrypt(
        { key: recipient.pem, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
        value,
      );
    const sealed = formatEnvelope({
      wrappedKey: wrap(contentKey),
      wrappedIv: wrap(iv),
      authTag: cipher.getAuthTag(),
      ciphertext,
    });
    assert.equal(Buffer.from(await openEnvelope(sealed, keys.unwrap)).toString(), "odd");
  }
});

test("refuses a content key that is not 32 bytes long, and a vector that is not 12 to 128", async () => {
  const plaintext = Buffer.from("shorter AES keys exist, wire v1 has one length");
  await assert.rejects(openEnvelope(forgeSeal(plaintext, 12, 16), unwrapWithForge), isOpenFailure);
  await assert.rejects(openEnvelope(forgeSeal(plaintext, 12, 24), unwrapWithForge), isOpenFailure);
  await assert.rejects(openEnvelope(forgeSeal(plaintext, 11), unwrapWithForge), isOpenFailure);
  await assert.rejects(openEnvelope(forgeSeal(plaintext, 129), unwrapWithForge), isOpenFailure);
});

test("never seals twice with the same key, vector or bytes", async () => {
  const plaintext = Buffer.from("the same");
  const [first, second] = [
    parseEnvelope(await sealEnvelope(plaintext, recipient)),
    parseEnvelope(await sealEnvelope(plaintext, recipient)),
  ];
  assert.notDeepEqual(await keys.unwrap(first.wrappedKey), await keys.unwrap(second.wrappedKey));
  assert.notDeepEqual(await keys.unwrap(first.wrappedIv), await keys.unwrap(second.wrappedIv));
  assert.notDeepEqual(first.ciphertext, second.ciphertext);
});

test("fails in one way for any flipped bit of the wrapped key, the wrapped vector, the tag or the ciphertext", async () => {
  const parts = parseEnvelope(await sealEnvelope(Buffer.from("the plaintext"), recipient));
  const names = ["wrappedKey", "wrappedIv", "authTag", "ciphertext"] as const;
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...names), fc.nat(), fc.nat(7), async (name, at, bit) => {
      const altered: EnvelopeParts = { ...parts, [name]: flipBit(parts[name], at % parts[name].length, bit) };
      await assert.rejects(openEnvelope(formatEnvelope(altered), keys.unwrap), isOpenFailure);
    }),
    { numRuns: 60 },
  );
});

test("opens no message with a flipped bit anywhere", async () => {
  const sealed = await sealEnvelope(Buffer.from("the plaintext"), recipient);
  await fc.assert(
    fc.asyncProperty(fc.nat(sealed.length - 1), fc.nat(7), async (at, bit) => {
      await assert.rejects(openEnvelope(flipBit(sealed, at, bit), keys.unwrap), isRefusal);
    }),
    { numRuns: 150 },
  );
});

test("opens no message that was cut or prolonged", async () => {
  const sealed = await sealEnvelope(Buffer.from("the plaintext"), recipient);
  await fc.assert(
    fc.asyncProperty(fc.nat(sealed.length - 1), async (length) => {
      await assert.rejects(openEnvelope(sealed.subarray(0, length), keys.unwrap), isRefusal);
    }),
    { numRuns: 100 },
  );
  await assert.rejects(openEnvelope(Buffer.concat([sealed, Buffer.alloc(1)]), keys.unwrap), isOpenFailure);
});

test("refuses arbitrary bytes with an envelope error and nothing else", async () => {
  const anyBytes = fc.uint8Array({ maxLength: 200 });
  const anyHeader = fc.json({ maxDepth: 2 }).map((json) => {
    const header = Buffer.from(json);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(header.length);
    return new Uint8Array(Buffer.concat([length, header]));
  });
  const anyParts = fc
    .record({
      wrappedKey: fc.uint8Array({ minLength: 1, maxLength: 300 }),
      wrappedIv: fc.uint8Array({ minLength: 1, maxLength: 300 }),
      authTag: fc.uint8Array({ minLength: 16, maxLength: 16 }),
      ciphertext: anyBytes,
    })
    .map(formatEnvelope);
  await fc.assert(
    fc.asyncProperty(fc.oneof(anyBytes, anyHeader, anyParts), async (bytes) => {
      await assert.rejects(openEnvelope(bytes, keys.unwrap), isRefusal);
    }),
    { numRuns: 200 },
  );
});

test("opens no message for another key", async () => {
  const sealed = await sealEnvelope(Buffer.from("for somebody else"), forgeRecipient);
  await assert.rejects(openEnvelope(sealed, keys.unwrap), isOpenFailure);
});

test("opens no message made of the parts of two", async () => {
  const first = parseEnvelope(await sealEnvelope(Buffer.from("pay Alice"), recipient));
  const second = parseEnvelope(await sealEnvelope(Buffer.from("pay Mallo"), recipient));
  for (const name of ["wrappedKey", "wrappedIv", "authTag", "ciphertext"] as const) {
    const mixed = formatEnvelope({ ...first, [name]: second[name] });
    await assert.rejects(openEnvelope(mixed, keys.unwrap), isOpenFailure);
  }
});

test("asks for both unwraps, also if the first is refused", async () => {
  const sealed = await sealEnvelope(Buffer.from("x"), recipient);
  let unwraps = 0;
  const refuse = async (): Promise<Uint8Array> => {
    unwraps++;
    throw new Error("bad padding in block 0x02");
  };
  await assert.rejects(openEnvelope(sealed, refuse), isOpenFailure);
  assert.equal(unwraps, 2);
});

test("says ENVELOPE_OPEN_FAILED in its own words, also if the unwrap says more", async () => {
  const sealed = await sealEnvelope(Buffer.from("x"), recipient);
  const talkative = async (): Promise<Uint8Array> => {
    throw new PolarisError("ENVELOPE_OPEN_FAILED", "bad padding", { details: { block: 2 } });
  };
  await assert.rejects(openEnvelope(sealed, talkative), isOpenFailure);
});

test("passes on that the key cannot be asked", async () => {
  const sealed = await sealEnvelope(Buffer.from("x"), recipient);
  const unavailable = new PolarisError("KEY_UNAVAILABLE", "key service does not answer");
  await assert.rejects(
    openEnvelope(sealed, () => Promise.reject(unavailable)),
    unavailable,
  );
});

function flipBit(bytes: Uint8Array, at: number, bit: number): Uint8Array {
  const altered = new Uint8Array(bytes);
  altered[at]! ^= 1 << bit;
  return altered;
}
