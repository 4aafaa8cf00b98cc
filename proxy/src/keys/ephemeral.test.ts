import assert from "node:assert/strict";
import { constants, createPublicKey, publicEncrypt } from "node:crypto";
import { test } from "node:test";
import { createEphemeralKeyProvider } from "./ephemeral.ts";

const NEVER = new AbortController().signal;
const keys = await createEphemeralKeyProvider(256);
const publicKey = await keys.publicKey(NEVER);

function wrap(value: Buffer): Buffer {
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  return publicEncrypt({ key: publicKey.pem, padding, oaepHash: "sha256" }, value);
}

test("the key is RSA-4096, says where it was born, and is named by the hash of its SPKI", () => {
  assert.equal(createPublicKey(publicKey.pem).asymmetricKeyDetails?.modulusLength, 4096);
  assert.deepEqual(publicKey.origin, { kind: "ephemeral" });
  assert.match(publicKey.keyId, /^sha256:[0-9a-f]{64}$/);
  assert.deepEqual(createPublicKey(publicKey.pem).export({ type: "spki", format: "der" }), publicKey.spki);
});

test("every start has another key", async () => {
  const other = await createEphemeralKeyProvider(256);
  assert.notEqual((await other.publicKey(NEVER)).keyId, publicKey.keyId);
});

test("unwraps what was wrapped, many at a time", async () => {
  const values = Array.from({ length: 8 }, (_, index) => Buffer.alloc(32, index));
  const unwrapped = await Promise.all(values.map((value) => keys.unwrap(wrap(value), undefined, NEVER)));
  assert.deepEqual(
    unwrapped.map((value) => Buffer.from(value)),
    values,
  );
});

test("a wrong ciphertext and a wrong length fail alike", async () => {
  const failure = { code: "ENVELOPE_OPEN_FAILED", message: "cannot open envelope" };
  const altered = wrap(Buffer.alloc(32));
  altered[100]! ^= 1;
  await assert.rejects(keys.unwrap(altered, undefined, NEVER), failure);
  await assert.rejects(keys.unwrap(altered.subarray(1), undefined, NEVER), failure);
  await assert.rejects(keys.unwrap(Buffer.alloc(0), undefined, NEVER), failure);
});
