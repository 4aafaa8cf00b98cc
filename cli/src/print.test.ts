import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { asPolarisError, escapeControls, formatColumns, formatElapsed } from "./print.ts";

test("shows elapsed time with the precision that people read", () => {
  const expected: readonly (readonly [number, string])[] = [
    [0, "0.0s"],
    [49, "0.0s"],
    [50, "0.1s"],
    [1234, "1.2s"],
    [9949, "9.9s"],
    [10_000, "10s"],
    [59_499, "59s"],
    [59_500, "1m00s"],
    [60_000, "1m00s"],
    [185_000, "3m05s"],
    [3_600_000, "60m00s"],
  ];
  for (const [elapsedMs, text] of expected) assert.equal(formatElapsed(elapsedMs), text, String(elapsedMs));
});

test("aligns columns by their widest cell, and ends no line with blanks", () => {
  assert.equal(
    formatColumns([["a", "workload", "running"], ["bcd", "proxy", ""], ["", "x"], ["only"]]),
    "a     workload  running\nbcd   proxy\n      x\nonly",
  );
  assert.equal(formatColumns([]), "");
});

test("keeps an error of ours, and calls everything else a bug with its cause", () => {
  const ours = new PolarisError("STACK_LOCKED", "locked");
  assert.equal(asPolarisError(ours), ours);
  const cause = new TypeError("x is not a function");
  const bug = asPolarisError(cause);
  assert.deepEqual(
    [bug.code, bug.exitCode, bug.message],
    ["INTERNAL", 255, "unexpected: x is not a function"],
  );
  assert.equal(bug.cause, cause);
  assert.match(bug.hint ?? "", /--debug/);
  assert.equal(asPolarisError("text").message, "unexpected: text");
});

test("what somebody else wrote can neither move the cursor nor turn the text", () => {
  assert.equal(escapeControls("\u001b[2Jok\r\n\u0085\u202e"), "\\u001b[2Jok\\u000d\\u000a\\u0085\\u202e");
  assert.equal(escapeControls("plain, ünïcode ✓"), "plain, ünïcode ✓");
});

test("with --debug, neither do stacks and causes, whose lines stay lines", async () => {
  const script = `
    import { printError } from ${JSON.stringify(new URL("print.ts", import.meta.url))};
    import { PolarisError } from "@polaris-cvm/sdk/errors";
    const cause = new Error("said \\u001b[2J\\u009bby a stranger");
    printError(new PolarisError("REGISTRY_FAILED", "no \\u001b[31manswer", { cause }), true);`;
  const { stderr } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script], {
    cwd: import.meta.dirname,
    env: { ...process.env, NO_COLOR: "1" },
  });
  assert.ok(stderr.includes("said \\u001b[2J\\u009bby a stranger\n    at "), stderr);
  assert.ok(!/[^\P{Cc}\n]/u.test(stderr), stderr);
});
