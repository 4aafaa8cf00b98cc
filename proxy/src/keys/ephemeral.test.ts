import assert from "node:assert/strict";
import { constants, createPublicKey, publicEncrypt } from "node:crypto";
import { availableParallelism } from "node:os";
import { after, test } from "node:test";
import { createContainerKeyProvider, GOLDEN_VECTORS } from "../../testing/golden-vectors.ts";
import { createEphemeralKeyProvider } from "./ephemeral.ts";

const NEVER = new AbortController().signal;
const keys = await createEphemeralKeyProvider(256);
after(() => keys.close());
const publicKey = await keys.publicKey(NEVER);

function wrap(value: Buffer, pem = publicKey.pem): Buffer {
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  return publicEncrypt({ key: pem, padding, oaepHash: "sha256" }, value);
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
  other.close();
});

test("unwraps what was wrapped, many at a time, whether or not the sender names the key", async () => {
  const values = Array.from({ length: 8 }, (_, index) => Buffer.alloc(32, index));
  const unwrapped = await Promise.all(
    values.map((value, index) => keys.unwrap(wrap(value), index % 2 ? publicKey.keyId : undefined, NEVER)),
  );
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
  await assert.rejects(keys.unwrap(altered, publicKey.keyId, NEVER), failure);
  await assert.rejects(keys.unwrap(altered.subarray(1), undefined, NEVER), failure);
  await assert.rejects(keys.unwrap(Buffer.alloc(0), undefined, NEVER), failure);
});

test("another key's name and a wrong length cost no private operation", async () => {
  const otherId = `sha256:${"0".repeat(64)}`;
  const refused = keys.unwrap(wrap(Buffer.alloc(32)), otherId, NEVER);
  const tooLong = keys.unwrap(Buffer.alloc(513), undefined, NEVER);
  assert.deepEqual(keys.privateOperations(), { running: 0, waiting: 0 });
  await assert.rejects(refused, {
    code: "KEY_UNKNOWN",
    message: "the message is sealed to a key that this proxy does not have: ask for its public key again",
  });
  await assert.rejects(tooLong, { code: "ENVELOPE_OPEN_FAILED" });
});

test("two operations a core are begun, a bounded number waits, more are refused, and who gives up makes room", async () => {
  const bounded = await createContainerKeyProvider(6);
  const wrapped = wrap(Buffer.from("value"), GOLDEN_VECTORS.containerPublicKeyPem);
  const gone = new AbortController();
  const cores = availableParallelism();
  const staying = Array.from({ length: 2 * cores + 3 }, () => bounded.unwrap(wrapped, undefined, NEVER));
  const leaving = Array.from({ length: 3 }, () => bounded.unwrap(wrapped, undefined, gone.signal));
  assert.deepEqual(bounded.privateOperations(), { running: 2 * cores, waiting: 6 });
  await assert.rejects(bounded.unwrap(wrapped, undefined, NEVER), { code: "OVERLOADED" });

  gone.abort();
  assert.deepEqual(bounded.privateOperations(), { running: 2 * cores, waiting: 3 });
  for (const left of leaving) await assert.rejects(left, { code: "OVERLOADED" });
  for (const value of await Promise.all(staying)) assert.equal(Buffer.from(value).toString(), "value");
  assert.deepEqual(bounded.privateOperations(), { running: 0, waiting: 0 });
  bounded.close();
});

test("after the close there is no key", async () => {
  const closed = await createContainerKeyProvider();
  closed.close();
  await assert.rejects(
    closed.unwrap(wrap(Buffer.alloc(32), GOLDEN_VECTORS.containerPublicKeyPem), undefined, NEVER),
    { code: "KEY_UNAVAILABLE" },
  );
});
