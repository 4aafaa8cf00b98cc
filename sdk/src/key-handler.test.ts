import assert from "node:assert/strict";
import { constants, createPublicKey, publicEncrypt } from "node:crypto";
import { test } from "node:test";
import { createEphemeralKeyHandler } from "./key-handler.ts";

const handler = createEphemeralKeyHandler({ modulusLength: 2048 });

test("unwraps what node:crypto wrapped for its public key", async () => {
  const key = createPublicKey(await handler.publicKeyPem());
  const wrapped = publicEncrypt(
    { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
    Buffer.from("content key"),
  );
  assert.equal(Buffer.from(await handler.unwrap(wrapped)).toString(), "content key");
});

test("does not unwrap RSA-OAEP with SHA-1 or PKCS #1 v1.5", async () => {
  const key = createPublicKey(await handler.publicKeyPem());
  for (const options of [
    { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha1" },
    { key, padding: constants.RSA_PKCS1_PADDING },
  ]) {
    await assert.rejects(handler.unwrap(publicEncrypt(options, Buffer.from("content key"))));
  }
});

test("makes one pair for all callers, and another one in each handler", async () => {
  const other = createEphemeralKeyHandler({ modulusLength: 2048 });
  const [first, second] = await Promise.all([other.publicKeyPem(), other.publicKeyPem()]);
  assert.equal(first, second);
  assert.notEqual(first, await handler.publicKeyPem());
});

test("makes RSA-4096 with exponent 65537 unless told otherwise", async () => {
  const key = createPublicKey(await createEphemeralKeyHandler().publicKeyPem());
  assert.equal(key.asymmetricKeyType, "rsa");
  assert.deepEqual(key.asymmetricKeyDetails, { modulusLength: 4096, publicExponent: 65537n });
});
