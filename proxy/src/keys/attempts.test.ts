import assert from "node:assert/strict";
import { test } from "node:test";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { backoffMs, createAttempts } from "./attempts.ts";
import type { Wait } from "./attempts.ts";

const NEVER = new AbortController().signal;
const notYet = new PolarisError("KEY_UNAVAILABLE", "not yet");
const denied = new PolarisError("KEY_RELEASE_DENIED", "denied");

/** Attempts that fail in turn with each of `failures` and then give "value"; waiting takes no time unless held. */
function createScripted(failures: readonly PolarisError[], hold?: Promise<void>) {
  let count = 0;
  const waits: number[] = [];
  const seen: unknown[] = [];
  const wait: Wait = async (delayMs) => {
    waits.push(delayMs);
    await hold;
  };
  const attempts = createAttempts(
    async () => {
      const failure = failures[count++];
      await Promise.resolve();
      if (failure !== undefined) throw failure;
      return "value";
    },
    { isWorthWaiting: (error) => error !== denied, onFailure: (error) => seen.push(error), wait },
  );
  return { attempts, waits, seen, count: () => count };
}

test("tries again until it works, and tells of every failure", async () => {
  const { attempts, waits, seen } = createScripted([notYet, notYet]);
  assert.equal(await attempts.value(NEVER), "value");
  assert.deepEqual(seen, [notYet, notYet]);
  assert.equal(waits.length, 2);
});

test("all who wait share one attempt", async () => {
  const { attempts, count } = createScripted([]);
  assert.deepEqual(await Promise.all([attempts.value(NEVER), attempts.value(NEVER), attempts.value(NEVER)]), [
    "value",
    "value",
    "value",
  ]);
  assert.equal(count(), 1);
});

test("a new value is attempted after the last one was given", async () => {
  const { attempts, count } = createScripted([]);
  await attempts.value(NEVER);
  await attempts.value(NEVER);
  assert.equal(count(), 2);
});

test("who cannot wait any longer hears the last failure, and the attempts go on for others", async () => {
  const { promise: hold, resolve: letGo } = Promise.withResolvers<void>();
  const { attempts } = createScripted([notYet], hold);
  const impatient = new AbortController();
  const first = attempts.value(impatient.signal);
  const patient = attempts.value(NEVER);
  await new Promise(setImmediate);
  impatient.abort();
  await assert.rejects(first, notYet);
  letGo();
  assert.equal(await patient, "value");
});

test("who comes with a signal that is over gets an error of the key", async () => {
  const { attempts } = createScripted([]);
  await assert.rejects(attempts.value(AbortSignal.abort()), { code: "KEY_UNAVAILABLE" });
});

test("a refusal is told at once to those who wait and to those who come, until an attempt works", async () => {
  const { promise: hold, resolve: letGo } = Promise.withResolvers<void>();
  const { attempts, count } = createScripted([denied], hold);
  await assert.rejects(attempts.value(NEVER), denied);
  await assert.rejects(attempts.value(NEVER), denied);
  assert.equal(count(), 1);
  letGo();
  await new Promise(setImmediate);
  assert.equal(await attempts.value(NEVER), "value");
});

test("stopping ends the attempts and everybody's waiting", async () => {
  const { promise: hold, resolve: letGo } = Promise.withResolvers<void>();
  const { attempts, count } = createScripted([notYet, notYet, notYet], hold);
  const waiting = attempts.value(NEVER);
  await new Promise(setImmediate);
  attempts.stop();
  letGo();
  await assert.rejects(waiting, { code: "KEY_UNAVAILABLE" });
  await assert.rejects(attempts.value(NEVER), { code: "KEY_UNAVAILABLE" });
  assert.equal(count(), 1);
});

test("waits grow from a quarter of a second to half a minute, and no two are alike", () => {
  const inRange = (value: number, fullMs: number): boolean => value >= fullMs / 2 && value <= fullMs;
  assert.ok(inRange(backoffMs(0), 250));
  assert.ok(inRange(backoffMs(3), 2_000));
  assert.ok(inRange(backoffMs(50), 30_000));
  assert.ok(new Set(Array.from({ length: 20 }, () => backoffMs(4))).size > 1);
});

test("who attempts may say how long to wait after which failure", async () => {
  const failures = [denied, notYet];
  const waits: number[] = [];
  const attempts = createAttempts(
    async () => {
      const failure = failures.shift();
      if (failure !== undefined) throw failure;
      return "value";
    },
    {
      isWorthWaiting: () => true,
      onFailure: () => undefined,
      delayMs: (before, error) => (error === denied ? 60_000 : 10 + before),
      wait: async (delayMs) => void waits.push(delayMs),
    },
  );
  assert.equal(await attempts.value(NEVER), "value");
  assert.deepEqual(waits, [60_000, 11]);
});
