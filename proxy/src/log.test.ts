import assert from "node:assert/strict";
import { test } from "node:test";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { createLog, describeFailure } from "./log.ts";

function capture(level: "info" | "silent") {
  const lines: string[] = [];
  return { lines, log: createLog(level, { write: (line) => void lines.push(line) }) };
}

test("a line has time, level and the allowed fields, whatever else it was given", () => {
  const { lines, log } = capture("info");
  const fields = { event: "request", status: 200, path: "/planted", headers: { authorization: "planted" } };
  log.info(fields);
  const { time, ...line } = JSON.parse(lines[0] ?? "") as Record<string, unknown>;
  assert.match(String(time), /^\d{4}-\d\d-\d\dT/);
  assert.deepEqual(line, { level: "info", event: "request", status: 200 });
});

test("the level decides what is written", () => {
  const info = capture("info");
  info.log.debug({ event: "request" });
  info.log.warn({ event: "request" });
  assert.equal(info.lines.length, 1);
  const silent = capture("silent");
  silent.log.error({ event: "request" });
  assert.deepEqual(silent.lines, []);
});

test("a failure is described by our words, or by its class and place, never by anybody else's words", () => {
  const cause = Object.assign(new Error("planted"), { code: "ENOENT" });
  const ours = new PolarisError("KEY_UNAVAILABLE", "cannot read the token", { cause });
  assert.equal(describeFailure(ours), "cannot read the token (ENOENT)");
  const odd = Object.assign(new Error("planted"), { code: "planted code" });
  assert.equal(describeFailure(new PolarisError("INTERNAL", "odd", { cause: odd })), "odd");
  assert.match(
    describeFailure(new RangeError("planted\n    at planted (planted.js:1:1)")),
    /^RangeError at log\.test\.ts:\d+$/,
  );
  assert.equal(describeFailure("planted"), "string");
});
