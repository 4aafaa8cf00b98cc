import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { createFileAtomic, stateUnwritable, writeFileAtomic, writerOfTemporaryFile } from "./atomic-file.ts";

async function makeFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-atomic-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

test("replaces a file whole, readable for its owner only, and leaves nothing beside it", async (t) => {
  const folder = await makeFolder(t);
  const path = join(folder, "state.json");
  await writeFile(path, "a much longer old content", { mode: 0o644 });
  await writeFileAtomic(path, "new");
  assert.equal(await readFile(path, "utf8"), "new");
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(folder), ["state.json"]);
});

test("keeps the bytes and the mode that it is given", async (t) => {
  const path = join(await makeFolder(t), "key");
  await writeFileAtomic(path, Uint8Array.of(0, 255, 10), { mode: 0o640, durable: false });
  assert.deepEqual([...(await readFile(path))], [0, 255, 10]);
  assert.equal((await stat(path)).mode & 0o777, 0o640);
});

test("takes a file piece by piece, and leaves nothing of one that ends with an error", async (t) => {
  const folder = await makeFolder(t);
  const path = join(folder, "data");
  async function* pieces(failure?: Error): AsyncGenerator<Uint8Array> {
    yield Buffer.from("one ");
    yield Buffer.from("two");
    if (failure !== undefined) throw failure;
  }
  await writeFileAtomic(path, pieces());
  assert.equal(await readFile(path, "utf8"), "one two");

  const failure = new PolarisError("DATA_OPEN_FAILED", "cannot open data");
  await assert.rejects(writeFileAtomic(path, pieces(failure)), failure);
  await assert.rejects(createFileAtomic(join(folder, "other"), pieces(failure)), failure);
  await assert.rejects(writeFileAtomic(path, pieces(new Error("outside"))), { code: "STATE_UNWRITABLE" });
  assert.equal(await readFile(path, "utf8"), "one two");
  assert.deepEqual(await readdir(folder), ["data"]);
});

test("of many who create one file exactly one succeeds, and its content is the one that is there", async (t) => {
  const folder = await makeFolder(t);
  const path = join(folder, "lock");
  const names = Array.from({ length: 20 }, (_, index) => `writer ${index}`);
  const results = await Promise.all(names.map((name) => createFileAtomic(path, name, { durable: false })));
  const winners = names.filter((_, index) => results[index] === true);
  assert.equal(winners.length, 1);
  assert.equal(await readFile(path, "utf8"), winners[0]);
  assert.deepEqual(await readdir(folder), ["lock"]);
});

test("names the path and the reason when it cannot write", async (t) => {
  const folder = await makeFolder(t);
  await writeFile(join(folder, "file"), "");
  const path = join(folder, "file", "state.json");
  const expected = {
    code: "STATE_UNWRITABLE",
    message: `cannot write ${path}: a part of the path is not a folder`,
    details: { path, errno: "ENOTDIR" },
  };
  await assert.rejects(writeFileAtomic(path, "x"), expected);
  await assert.rejects(createFileAtomic(path, "x"), expected);
});

test("keeps the old file when the disk is full", async (t) => {
  const folder = await makeFolder(t);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=16k", "polaris-test", folder], { stdio: "ignore" });
  } catch {
    return t.skip("needs the right to mount a small file system");
  }
  try {
    const path = join(folder, "state.json");
    await writeFileAtomic(path, "old");
    await assert.rejects(writeFileAtomic(path, Buffer.alloc(64 * 1024)), {
      code: "STATE_UNWRITABLE",
      message: `cannot write ${path}: no space left on the disk`,
    });
    assert.equal(await readFile(path, "utf8"), "old");
    assert.deepEqual(await readdir(folder), ["state.json"]);
  } finally {
    execFileSync("umount", [folder]);
  }
});

test("says what to do about too many open files", () => {
  const cause = Object.assign(new Error("EMFILE"), { code: "EMFILE" });
  const error = stateUnwritable("/a", cause);
  assert.equal(error.message, "cannot write /a: this process has too many open files");
  assert.equal(error.hint, 'raise the limit ("ulimit -n 1024"), then run the command again');
});

test("tells whose a file is that was left half written, and only of such files", () => {
  assert.equal(writerOfTemporaryFile(".workload.json.4711.0123456789ab.tmp"), 4711);
  for (const name of [
    "workload.json",
    "workload.json.4711.0123456789ab.tmp",
    ".a.x.0123456789ab.tmp",
    ".a.1.tmp",
  ]) {
    assert.equal(writerOfTemporaryFile(name), undefined, name);
  }
});
