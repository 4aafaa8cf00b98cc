import assert from "node:assert/strict";
import { test } from "node:test";
import { createTokenBucket } from "./token-bucket.ts";

test("a burst is allowed at once, then the rate, and never more than a burst", () => {
  let nowMs = 5000;
  const take = createTokenBucket({ ratePerSecond: 10, burst: 20, now: () => nowMs });
  const taken = (): number => {
    let count = 0;
    while (take()) count++;
    return count;
  };
  assert.equal(taken(), 20);
  nowMs += 99;
  assert.equal(taken(), 0);
  nowMs += 1;
  assert.equal(taken(), 1);
  nowMs += 1000;
  assert.equal(taken(), 10);
  nowMs += 3_600_000;
  assert.equal(taken(), 20);
});
