import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDuration } from "./duration.ts";

test("reads seconds, minutes and hours as milliseconds", () => {
  assert.deepEqual(
    ["0s", "30s", "5m", "1h", "999999s"].map(parseDuration),
    [0, 30_000, 300_000, 3_600_000, 999_999_000],
  );
});

test("refuses everything else as a usage error with an example", () => {
  for (const text of [
    "",
    "30",
    "s",
    "1d",
    "1.5m",
    "-1s",
    "+1s",
    " 1s",
    "1s ",
    "1S",
    "1m30s",
    "1000000s",
    "٣s",
    "1constructor",
  ]) {
    assert.throws(
      () => parseDuration(text),
      { code: "commander.invalidArgument", message: /30s, 5m or 1h/ },
      text,
    );
  }
});
