import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { keepTokenFile } from "./token-file.ts";

interface TestLoop {
  readonly path: string;
  readonly running: Promise<void>;
  /** Waits until the loop sleeps, says for how long it wants to, and lets this much time pass. */
  sleepFor(elapsedMs?: number): Promise<number>;
  /** Answers of the issuer, in order; the last one stays. */
  readonly answers: (string | Error)[];
  readonly logs: unknown[][];
  stop(): void;
}

/** The loop with a clock that only the test moves. */
async function startLoop(
  t: TestContext,
  answers: (string | Error)[],
  refreshMs = 2_400_000,
): Promise<TestLoop> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-test-"));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, "token", "attestation-token");
  const stopped = new AbortController();
  const logs: unknown[][] = [];
  let nowMs = 0;
  let asleep = Promise.withResolvers<{ ms: number; wake: () => void }>();
  const running = keepTokenFile({
    path,
    requestToken: async () => {
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      if (answer instanceof Error) throw answer;
      return answer ?? "";
    },
    refreshMs,
    log: (...line) => logs.push(line),
    now: () => nowMs,
    sleep: async (ms, signal) => {
      const woken = Promise.withResolvers<void>();
      signal.addEventListener("abort", () => woken.reject(signal.reason));
      asleep.resolve({ ms, wake: () => woken.resolve() });
      await woken.promise;
    },
    signal: stopped.signal,
  });
  t.after(() => stopped.abort());
  return {
    path,
    running,
    answers,
    logs,
    sleepFor: async (elapsedMs) => {
      const { ms, wake } = await asleep.promise;
      asleep = Promise.withResolvers();
      nowMs += elapsedMs ?? ms;
      wake();
      return ms;
    },
    stop: () => stopped.abort(),
  };
}

const away = new PolarisError("ATTESTATION_UNAVAILABLE", "the attestation issuer gives no token");

test("the file has a token, for one user, and a new one after the refresh time", async (t) => {
  const loop = await startLoop(t, ["first", "second"], 20_000);
  assert.equal(await loop.sleepFor(), 15_000);
  assert.equal(await readFile(loop.path, "utf8"), "first");
  assert.equal((await stat(loop.path)).mode & 0o777, 0o600);
  assert.equal((await stat(join(loop.path, ".."))).mode & 0o777, 0o700);
  assert.equal(await loop.sleepFor(), 5000);
  assert.equal(await loop.sleepFor(0), 15_000);
  assert.equal(await readFile(loop.path, "utf8"), "second");
  assert.deepEqual(await readdir(join(loop.path, "..")), ["attestation-token"]);
  loop.stop();
  await loop.running;
});

test("a computer that slept through the refresh time refreshes as soon as it wakes", async (t) => {
  const loop = await startLoop(t, ["first", "second"]);
  assert.equal(await loop.sleepFor(3 * 3_600_000), 15_000);
  assert.equal(await loop.sleepFor(0), 15_000);
  assert.equal(await readFile(loop.path, "utf8"), "second");
});

test("while the issuer is away the old token stays, and the tries get rarer; when it is back they are as before", async (t) => {
  const loop = await startLoop(t, [away, away, "first", away], 1000);
  assert.equal(await loop.sleepFor(), 100);
  assert.equal(await loop.sleepFor(), 200);
  assert.equal(await loop.sleepFor(), 1000);
  assert.equal(await readFile(loop.path, "utf8"), "first");
  const delays: number[] = [];
  for (let index = 0; index < 14; index++) delays.push(await loop.sleepFor());
  // Sleeps longer than 15 s come in pieces: 25.6 s and 30 s.
  assert.deepEqual(
    delays,
    [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 10_600, 15_000, 15_000, 15_000, 15_000],
  );
  assert.equal(await readFile(loop.path, "utf8"), "first");
  loop.answers.push("second");
  let delay = 0;
  for (let index = 0; index < 5 && delay !== 1000; index++) delay = await loop.sleepFor();
  assert.equal(delay, 1000);
  assert.equal(await readFile(loop.path, "utf8"), "second");
  assert.deepEqual(loop.logs[0], [
    "warn",
    "token file not written",
    { code: "ATTESTATION_UNAVAILABLE", message: "the attestation issuer gives no token", retryMs: 100 },
  ]);
  assert.equal(JSON.stringify(loop.logs).includes("second"), false);
});

test("an error that is nobody's ends the loop instead of turning for ever", async (t) => {
  const loop = await startLoop(t, [new TypeError("a bug")]);
  await assert.rejects(loop.running, { message: "a bug" });
});
