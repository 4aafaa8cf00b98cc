import assert from "node:assert/strict";
import { test } from "node:test";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { GOLDEN_VECTORS } from "../../testing/golden-vectors.ts";
import { readPublicKey } from "./key-provider.ts";
import { createOlderKeyVersion } from "./older-key-version.ts";

const NEVER = new AbortController().signal;
const KEY = readPublicKey(GOLDEN_VECTORS.containerPublicKeyPem, { kind: "google-kms", keyVersion: "1" });
const away = new PolarisError("KEY_UNAVAILABLE", "no answer of the key service");
const unusable = new PolarisError("KEY_UNAVAILABLE", "version 1 of the key is not enabled", {
  details: { status: 400, isUnusable: true },
});

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Answers each time it is asked with the next of `answers`, then with the key; a wait lasts until it is ended. */
function createScripted(...answers: readonly (PolarisError | "key")[]) {
  let asked = 0;
  const failures: unknown[] = [];
  const waits: number[] = [];
  let endWait = (): void => undefined;
  const version = createOlderKeyVersion(
    async () => {
      await nextTurn();
      const answer = answers[asked++] ?? "key";
      if (answer !== "key") throw answer;
      return KEY;
    },
    {
      onFailure: (error) => failures.push(error),
      async wait(delayMs) {
        waits.push(delayMs);
        const { promise, resolve } = Promise.withResolvers<void>();
        endWait = resolve;
        await promise;
      },
    },
  );
  return {
    version,
    failures,
    waits,
    asked: () => asked,
    /** Waits for the wait with this number, and ends it. */
    endWait: async (number: number): Promise<void> => {
      while (waits.length < number) await nextTurn();
      endWait();
      await nextTurn();
    },
  };
}

test("the public key is asked for once, in the background or when it is needed", async () => {
  const { version, asked } = createScripted();
  assert.equal(version.known(), undefined);
  version.start();
  version.start();
  assert.equal(await version.publicKey(NEVER), KEY);
  version.start();
  assert.equal(version.known(), KEY);
  assert.equal(await version.publicKey(NEVER), KEY);
  assert.equal(asked(), 1);
});

test("while the key service is away nobody is told that there is no such version", async () => {
  const { version, failures, waits, endWait } = createScripted(away, away);
  const patient = version.publicKey(NEVER);
  const impatient = new AbortController();
  const early = version.publicKey(impatient.signal);
  await endWait(1);
  impatient.abort();
  await assert.rejects(early, away);
  await endWait(2);
  assert.equal(await patient, KEY);
  assert.deepEqual(failures, [away, away]);
  assert.ok(waits.every((delayMs) => delayMs <= 500));
});

test("a version that cannot be used is as good as none until the next look, five minutes later", async () => {
  const { version, failures, waits, asked, endWait } = createScripted(unusable, unusable);
  assert.equal(await version.publicKey(NEVER), undefined);
  assert.equal(await version.publicKey(NEVER), undefined);
  assert.equal(asked(), 1);
  await endWait(1);
  assert.equal(await version.publicKey(NEVER), undefined);
  await endWait(2);
  assert.equal(await version.publicKey(NEVER), KEY);
  assert.deepEqual(waits, [300_000, 300_000]);
  assert.deepEqual(failures, [unusable], "said once");
});

test("a version that is lost is looked after, and told of again", async () => {
  const { version, failures, endWait } = createScripted(unusable, "key", unusable, "key");
  assert.equal(await version.publicKey(NEVER), undefined);
  await endWait(1);
  assert.equal(await version.publicKey(NEVER), KEY);
  version.lost();
  assert.equal(version.known(), undefined);
  assert.equal(await version.publicKey(NEVER), undefined);
  await endWait(2);
  assert.equal(await version.publicKey(NEVER), KEY);
  assert.deepEqual(failures, [unusable, unusable]);
});

test("what is stopped is not asked for any more", async () => {
  const { version, asked, endWait } = createScripted(away);
  const waiting = version.publicKey(NEVER);
  const refused = assert.rejects(waiting, { code: "KEY_UNAVAILABLE" });
  version.stop();
  await endWait(1);
  await refused;
  await assert.rejects(version.publicKey(NEVER), { code: "KEY_UNAVAILABLE" });
  assert.equal(asked(), 1);
});
