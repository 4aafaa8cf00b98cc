import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ensurePrivateFolder, readFileIfPresent, readFolder, writeFileDurably } from "./durable-file.ts";

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-test-"));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

test("a write replaces the file as a whole, for one user, and leaves nothing else", async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, "file");
  await writeFile(path, "old", { mode: 0o644 });
  const { ino } = await stat(path);
  await writeFileDurably(path, "new");
  assert.equal(await readFile(path, "utf8"), "new");
  const after = await stat(path);
  assert.equal(after.mode & 0o777, 0o600);
  assert.notEqual(after.ino, ino);
  assert.deepEqual(await readdir(folder), ["file"]);
});

test("a write that fails says so, keeps the old file and leaves nothing", async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, "file");
  await mkdir(path);
  await assert.rejects(writeFileDurably(path, "new"), { code: "STATE_UNWRITABLE" });
  assert.deepEqual(await readdir(folder), ["file"]);
  await assert.rejects(writeFileDurably(join(folder, "none", "file"), "new"), {
    code: "STATE_UNWRITABLE",
    message: `cannot write ${join(folder, "none", "file")}: ENOENT`,
  });
});

test("what an interrupted write left behind is removed, all else stays", async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, ".new-1.pem-aabb"), "half");
  await writeFile(join(folder, "1.pem"), "whole");
  assert.deepEqual(await readFolder(folder), ["1.pem"]);
  assert.deepEqual(await readdir(folder), ["1.pem"]);
});

test("a private folder is made for one user, and taken back from others", async (t) => {
  const folder = join(await temporaryFolder(t), "a", "b");
  await ensurePrivateFolder(folder);
  assert.equal((await stat(folder)).mode & 0o777, 0o700);
  await chmod(folder, 0o755);
  await ensurePrivateFolder(folder);
  assert.equal((await stat(folder)).mode & 0o777, 0o700);
});

test("a missing file is undefined, one that cannot be read is an error", async (t) => {
  const folder = await temporaryFolder(t);
  assert.equal(await readFileIfPresent(join(folder, "none")), undefined);
  await assert.rejects(readFileIfPresent(folder), { code: "STATE_CORRUPT" });
});
