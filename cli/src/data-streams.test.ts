import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, readdir, realpath, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { formatBytes, planOutput, readInput, writeOutput } from "./data-streams.ts";

const { signal } = new AbortController();

async function makeFolder(context: TestContext): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "polaris-data-")));
  context.after(() => rm(folder, { recursive: true }));
  return folder;
}

async function* pieces(failure?: Error): AsyncGenerator<Uint8Array> {
  yield Buffer.from("one ");
  yield Buffer.from("two");
  if (failure !== undefined) throw failure;
}

test("writes a new file with the mode that it is given", async (context) => {
  const path = join(await makeFolder(context), "opened");
  const output = await planOutput({ output: path });
  assert.deepEqual(output, { kind: "file", path, replaces: false });
  await writeOutput(output, pieces(), 0o600, signal);
  assert.equal(await readFile(path, "utf8"), "one two");
  assert.equal((await stat(path)).mode & 0o777, 0o600);
});

test("replaces a file with --force only, also one that came meanwhile", async (context) => {
  const folder = await makeFolder(context);
  const path = join(folder, "opened");
  const early = await planOutput({ output: path });
  await writeFile(path, "precious");
  const expected = {
    code: "USAGE_INVALID",
    message: `${path} is there already`,
    hint: "--force replaces it",
  };
  await assert.rejects(planOutput({ output: path }), expected);
  await assert.rejects(writeOutput(early, pieces(), 0o600, signal), expected);
  assert.equal(await readFile(path, "utf8"), "precious");
  await writeOutput(await planOutput({ output: path, force: true }), pieces(), 0o600, signal);
  assert.equal(await readFile(path, "utf8"), "one two");
  assert.deepEqual(await readdir(folder), ["opened"]);
});

test("leaves nothing of a result that fails half way, and keeps what was there", async (context) => {
  const folder = await makeFolder(context);
  const failure = new PolarisError("DATA_OPEN_FAILED", "cannot open data");
  const fresh = await planOutput({ output: join(folder, "fresh") });
  await assert.rejects(writeOutput(fresh, pieces(failure), 0o600, signal), failure);
  await writeFile(join(folder, "old"), "precious");
  const old = await planOutput({ output: join(folder, "old"), force: true });
  await assert.rejects(writeOutput(old, pieces(failure), 0o600, signal), failure);
  assert.deepEqual(await readdir(folder), ["old"]);
  assert.equal(await readFile(join(folder, "old"), "utf8"), "precious");
});

test("does not promise to go on where the disk was full", async (context) => {
  const full = Object.assign(new Error("planted"), { code: "ENOSPC" });
  for (const force of [false, true]) {
    const output = await planOutput({ output: join(await makeFolder(context), "fresh"), force });
    const chunks = pieces(full);
    await assert.rejects(writeOutput(output, chunks, 0o600, signal), {
      code: "STATE_UNWRITABLE",
      hint: "free some space, then run the command again: nothing of the file was kept",
    });
  }
});

test("replaces what a link names and not the link, and never a folder or a device", async (context) => {
  const folder = await makeFolder(context);
  await writeFile(join(folder, "real"), "old");
  await symlink(join(folder, "real"), join(folder, "link"));
  const output = await planOutput({ output: join(folder, "link"), force: true });
  assert.deepEqual(output, { kind: "file", path: join(folder, "real"), replaces: true });
  await mkdir(join(folder, "folder"));
  for (const path of [join(folder, "folder"), "/dev/null"]) {
    await assert.rejects(planOutput({ output: path, force: true }), {
      code: "USAGE_INVALID",
      message: `${path} is not a file`,
    });
  }
});

test("never mixes data with the JSON document", async () => {
  for (const flags of [{ json: true }, { jsonStream: true }, { json: true, output: "-" }]) {
    await assert.rejects(planOutput(flags), {
      code: "USAGE_INVALID",
      message: "standard output has the JSON document, not the data",
    });
  }
  assert.deepEqual(await planOutput({ output: "-" }), { kind: "stdout" });
});

test("reads a file, says which one it cannot read, and stops with the signal", async (context) => {
  const path = join(await makeFolder(context), "input");
  await writeFile(path, Buffer.alloc(300_000, "x"));
  let byteCount = 0;
  for await (const piece of readInput(path, signal)) byteCount += piece.length;
  assert.equal(byteCount, 300_000);

  await assert.rejects(readInput(`${path}.gone`, signal).next(), {
    code: "USAGE_INVALID",
    message: `cannot read ${path}.gone (ENOENT)`,
  });
  const abort = new AbortController();
  const reading = readInput(path, abort.signal);
  await reading.next();
  const reason = new PolarisError("CANCELLED", "cancelled");
  abort.abort(reason);
  await assert.rejects(async () => {
    for (;;) if ((await reading.next()).done === true) return;
  }, reason);
});

test("tells amounts as people do", () => {
  const amounts = [0, 1023, 1024, 1536, 1024 ** 2, 300_000_000, 1024 ** 3, 5 * 1024 ** 4, 2048 * 1024 ** 4];
  assert.deepEqual(amounts.map(formatBytes), [
    "0 bytes",
    "1023 bytes",
    "1.0 KiB",
    "1.5 KiB",
    "1.0 MiB",
    "286.1 MiB",
    "1.0 GiB",
    "5.0 TiB",
    "2048.0 TiB",
  ]);
});
