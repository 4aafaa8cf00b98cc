import assert from "node:assert/strict";
import { mkdtemp, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { makeFolder } from "./make-folder.ts";

async function makeTemporary(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-folder-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

test("makes a folder and those above it with the mode that is asked for, and again is no error", async (t) => {
  const folder = await makeTemporary(t);
  const path = join(folder, "a", "b", "c");
  await makeFolder(path, 0o700);
  await makeFolder(path, 0o700);
  for (const made of [join(folder, "a"), path]) assert.equal((await stat(made)).mode & 0o777, 0o700);
});

test("takes a link to a folder for that folder", async (t) => {
  const folder = await makeTemporary(t);
  await symlink(folder, join(folder, "link"));
  await makeFolder(join(folder, "link", "below"));
  assert.equal((await stat(join(folder, "below"))).isDirectory(), true);
});

test("names what is in the way", async (t) => {
  const folder = await makeTemporary(t);
  const file = join(folder, "file");
  await writeFile(file, "");
  await assert.rejects(makeFolder(join(file, "below")), {
    code: "STATE_UNWRITABLE",
    message: `cannot write ${join(file, "below")}: a part of the path is not a folder`,
  });
  await assert.rejects(makeFolder(file), { code: "STATE_UNWRITABLE" });
});

test(
  "gives up at once below a file system that takes no folders",
  { skip: process.platform !== "linux" && "there is no /proc", timeout: 5_000 },
  async () => {
    await assert.rejects(makeFolder("/proc/polaris/below"), {
      code: "STATE_UNWRITABLE",
      message: "cannot make the folder /proc/polaris: /proc takes none",
    });
  },
);
