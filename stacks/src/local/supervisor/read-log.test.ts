import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { launchFiles } from "./launch-files.ts";
import type { PartRecord } from "./launch-files.ts";
import { PartLog } from "./part-log.ts";
import { lastLinesOfLaunch, readLog } from "./read-log.ts";

async function makeLog(
  t: TestContext,
  maxFileBytes: number,
): Promise<{ stackDir: string; path: string; log: PartLog; write: (...lines: string[]) => void }> {
  const stackDir = await mkdtemp(join(tmpdir(), "polaris-log-"));
  t.after(() => rm(stackDir, { recursive: true, force: true }));
  await mkdir(join(stackDir, "logs"));
  const path = launchFiles(stackDir, "workload").log;
  const log = new PartLog(path, maxFileBytes);
  const stream = log.stream();
  return {
    stackDir,
    path,
    log,
    write: (...lines) => lines.forEach((line) => stream.write(Buffer.from(`${line}\n`))),
  };
}

async function readTail(stackDir: string, tail: number): Promise<string[]> {
  const { signal } = new AbortController();
  const lines: string[] = [];
  for await (const line of readLog(stackDir, { part: "workload", tail, follow: false, signal }))
    lines.push(line);
  return lines;
}

test("keeps bytes as they are, lines whole, and streams apart", async (t) => {
  const { path, log } = await makeLog(t, 1000);
  const out = log.stream();
  const err = log.stream();
  out.write(Buffer.from([0xff, 0x00, 0x41]));
  err.write(Buffer.from("error\n"));
  out.write(Buffer.from("B\nrest"));
  out.end();
  err.end();
  assert.deepEqual(await readFile(path), Buffer.from("error\n\xff\0AB\nrest\n", "latin1"));
});

test("does not hold a line back that has no end", async (t) => {
  const { path, log } = await makeLog(t, 1_000_000);
  log.stream().write(Buffer.alloc(64 * 1024 + 1, "x"));
  assert.equal((await readFile(path)).length, 64 * 1024 + 1);
});

test("keeps three files of limited size and splits no line", async (t) => {
  const { stackDir, path, write } = await makeLog(t, 20);
  for (let index = 1; index <= 9; index += 1) write(`line ${index}`);
  assert.deepEqual((await readdir(join(stackDir, "logs"))).toSorted(), [
    "workload.log",
    "workload.log.1",
    "workload.log.2",
  ]);
  assert.equal(await readFile(path, "utf8"), "line 9\n");
  assert.equal(await readFile(`${path}.1`, "utf8"), "line 7\nline 8\n");
  assert.equal(await readFile(`${path}.2`, "utf8"), "line 5\nline 6\n");
});

test("goes on in the file that is there, and rotates by its size", async (t) => {
  const { path, log, write } = await makeLog(t, 20);
  write("line 1", "line 2");
  log.close();
  const next = new PartLog(path, 20);
  next.writeLine("started");
  assert.equal(await readFile(path, "utf8"), "polaris: started\n");
  assert.equal(await readFile(`${path}.1`, "utf8"), "line 1\nline 2\n");
});

test(
  "drops what a full disk does not take, and neither fails nor ends the part",
  { skip: process.platform !== "linux" && "needs /dev/full" },
  () => {
    const log = new PartLog("/dev/full");
    log.writeLine("lost");
    log.writeLine("lost too");
    log.close();
  },
);

test("reads the last lines across files", async (t) => {
  const { stackDir, write } = await makeLog(t, 20);
  assert.deepEqual(await readTail(stackDir, 5), []);
  for (let index = 1; index <= 9; index += 1) write(`line ${index}`);
  assert.deepEqual(await readTail(stackDir, 0), []);
  assert.deepEqual(await readTail(stackDir, 1), ["line 9"]);
  assert.deepEqual(await readTail(stackDir, 4), ["line 6", "line 7", "line 8", "line 9"]);
  assert.deepEqual(await readTail(stackDir, Infinity), ["line 5", "line 6", "line 7", "line 8", "line 9"]);
});

test("reads the last lines of a file that is larger than one block", async (t) => {
  const { stackDir, write } = await makeLog(t, 10_000_000);
  const lines = Array.from({ length: 3000 }, (_, index) => `${index} ${"x".repeat(100)}`);
  write(...lines);
  assert.deepEqual(await readTail(stackDir, 1500), lines.slice(-1500));
  assert.deepEqual(await readTail(stackDir, 3000), lines);
});

test("follows a log over rotations, from a log that is not there yet, until the signal", async (t) => {
  const { stackDir, path, log, write } = await makeLog(t, 60);
  log.close();
  await rm(path);
  const controller = new AbortController();
  const options = { part: "workload", tail: 10, follow: true, signal: controller.signal };
  const following = readLog(stackDir, options);
  const first = following.next();
  // Only now there is a log.
  const later = new PartLog(path, 60);
  const stream = later.stream();
  const expected = ["begin"];
  stream.write(Buffer.from("begin\n"));
  assert.equal((await first).value, "begin");
  const got = ["begin"];
  for (let round = 0; round < 12; round += 1) {
    // Two rotations at most between two looks: more would not be kept.
    for (let index = 0; index < 8; index += 1) {
      const line = `round ${round} line ${index}`;
      stream.write(Buffer.from(`${line}\n`));
      expected.push(line);
    }
    while (got.length < expected.length) got.push(String((await following.next()).value));
  }
  assert.deepEqual(got, expected);
  stream.write(Buffer.from("not yet a li"));
  const next = following.next();
  stream.write(Buffer.from("ne\n"));
  assert.equal((await next).value, "not yet a line");
  const last = following.next();
  controller.abort();
  assert.equal((await last).done, true);
  write();
});

test("refuses a part that does not exist", async () => {
  const { signal } = new AbortController();
  const reading = readLog("/nonexistent", { part: "../x", tail: 1, follow: false, signal });
  await assert.rejects(reading.next(), { code: "USAGE_INVALID" });
});

test("tells the lines of one launch only, also after a rotation", async (t) => {
  const { stackDir, log, write } = await makeLog(t, 60);
  write("before 1", "before 2");
  const record = { part: "workload", logStart: log.position() } as PartRecord;
  assert.deepEqual(await lastLinesOfLaunch(stackDir, record, 20), []);
  write("now 1");
  assert.deepEqual(await lastLinesOfLaunch(stackDir, record, 20), ["now 1"]);
  for (let index = 2; index <= 12; index += 1) write(`now ${index}`);
  const expected = Array.from({ length: 12 }, (_, index) => `now ${index + 1}`);
  assert.deepEqual(await lastLinesOfLaunch(stackDir, record, 20), expected);
  assert.deepEqual(await lastLinesOfLaunch(stackDir, record, 2), ["now 11", "now 12"]);
  log.writeLine("y".repeat(600));
  assert.equal((await lastLinesOfLaunch(stackDir, record, 1))[0]?.length, 500);
});
