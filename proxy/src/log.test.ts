import assert from "node:assert/strict";
import { test } from "node:test";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { LogLevel } from "./environment.ts";
import { createLog, describeFailure } from "./log.ts";
import type { LogFields } from "./log.ts";

function capture(level: LogLevel) {
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

test("every field comes out as JSON, whatever is in it", () => {
  const { lines, log } = capture("info");
  const fields: Required<LogFields> = {
    event: "request",
    requestId: "9d5ed678-fe57-4c4b-9f0b-2d1c1c5a1b3e",
    traceId: "0af7651916cd43dd8448eb211c80319c",
    method: 'M"\n\u2028',
    status: 200,
    durationMs: 0.5,
    bytesIn: 0,
    bytesOut: 2 ** 40,
    keyProvider: "ephemeral",
    keyId: "sha256:00",
    port: 8000,
    code: "INTERNAL",
    reason: "\\ and \u0000",
    droppedLines: 1,
  };
  log.warn(fields);
  log.warn({ event: "odd", durationMs: Number.NaN });
  assert.match(lines[0] ?? "", /^[^\n]+\n$/);
  const { time, ...line } = JSON.parse(lines[0] ?? "") as Record<string, unknown>;
  assert.equal(new Date(String(time)).toISOString(), time);
  assert.deepEqual(line, { level: "warn", ...fields });
  assert.equal((JSON.parse(lines[1] ?? "") as Record<string, unknown>)["durationMs"], null);
});

test("the level decides what is written", () => {
  const info = capture("info");
  info.log.debug({ event: "request" });
  info.log.warn({ event: "request" });
  assert.equal(info.lines.length, 1);
  for (const level of ["fatal", "silent"] as const) {
    const quiet = capture(level);
    quiet.log.error({ event: "request" });
    assert.deepEqual(quiet.lines, []);
  }
  const trace = capture("trace");
  trace.log.debug({ event: "request" });
  assert.equal(trace.lines.length, 1);
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
