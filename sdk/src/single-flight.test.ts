import assert from "node:assert/strict";
import { test } from "node:test";
import { orAbort, singleFlight } from "./single-flight.ts";

test("runs once for callers at the same time and keeps the success", async () => {
  let runs = 0;
  const task = singleFlight(async () => ++runs);
  assert.deepEqual(await Promise.all([task(), task(), task()]), [1, 1, 1]);
  assert.equal(await task(), 1);
  assert.equal(runs, 1);
});

test("tells a failure to those who wait and runs again for the next", async () => {
  let runs = 0;
  const task = singleFlight(async () => {
    runs++;
    if (runs === 1) throw new Error("first");
    return runs;
  });
  const outcomes = await Promise.allSettled([task(), task()]);
  assert.deepEqual(
    outcomes.map((outcome) => outcome.status),
    ["rejected", "rejected"],
  );
  assert.equal(runs, 1);
  assert.equal(await task(), 2);
});

test("gives the value, the failure or the reason of the abort, whichever comes first", async () => {
  const never = new Promise<never>(() => {});
  const controller = new AbortController();
  assert.equal(await orAbort(controller.signal, Promise.resolve(7)), 7);
  await assert.rejects(orAbort(controller.signal, Promise.reject(new Error("failed"))), {
    message: "failed",
  });
  const waiting = orAbort(controller.signal, never);
  controller.abort(new Error("changed my mind"));
  await assert.rejects(waiting, { message: "changed my mind" });
});
