import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRetryAfter } from "./retry.ts";

const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5);

const HEADERS: readonly (readonly [string | undefined, number | undefined])[] = [
  [undefined, undefined],
  ["", undefined],
  ["soon", undefined],
  ["0", 0],
  ["7", 7_000],
  ["3600", 3_600_000],
  ["9".repeat(400), Infinity],
  ["Fri, 02 Jan 2026 03:04:15 GMT", 10_000],
  ["Fri, 02 Jan 2026 03:04:00 GMT", 0],
  ["Sat, 02 Jan 2027 03:04:05 GMT", 365 * 24 * 3_600_000],
];

test("Retry-After is seconds or a date, and no wait for what is over", () => {
  for (const [header, waitMs] of HEADERS)
    assert.equal(parseRetryAfter(header, NOW_MS), waitMs, String(header));
});
