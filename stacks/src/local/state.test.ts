import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chown, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { stackPaths } from "./stack-paths.ts";
import type { StackPaths } from "./stack-paths.ts";
import { createStackFolders, loadState, removeState, saveState } from "./state.ts";

async function makeStack(t: TestContext): Promise<StackPaths> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-state-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const paths = { ...stackPaths(folder, "default"), socketDir: join(folder, "sockets") };
  await createStackFolders(paths);
  await saveState(paths, {
    version: 1,
    name: "hello",
    stack: "default",
    ports: { trust: 1, workload: 2, proxy: 3 },
    scheme: "https",
  });
  return paths;
}

test("remembers whether the endpoint has TLS; a state of before TLS has none", async (t) => {
  const paths = await makeStack(t);
  const state = await loadState(paths);
  assert.equal(state?.scheme, "https");
  const { scheme: _scheme, ...before } = state;
  await writeFile(paths.state, JSON.stringify(before));
  assert.deepEqual(await loadState(paths), { ...before, scheme: "http" });
});

test("removes the state and the folder of sockets, and keeps the key", async (t) => {
  const paths = await makeStack(t);
  await mkdir(paths.socketDir, { mode: 0o700 });
  await mkdir(paths.trustDir);
  await removeState(paths);
  assert.equal(existsSync(paths.socketDir), false);
  assert.deepEqual(await readdir(paths.stackDir), ["trust"]);
});

test("removes a link in place of the folder of sockets, and nothing behind it", async (t) => {
  const paths = await makeStack(t);
  const other = join(paths.projectDir, "other");
  await mkdir(other);
  await writeFile(join(other, "file"), "");
  await symlink(other, paths.socketDir);
  await removeState(paths);
  assert.equal(existsSync(paths.socketDir), false);
  assert.deepEqual(await readdir(other), ["file"]);
});

test(
  "leaves what somebody else has in place of the folder of sockets",
  { skip: process.getuid?.() !== 0 && "needs the right to give a folder away" },
  async (t) => {
    const paths = await makeStack(t);
    await mkdir(paths.socketDir);
    await chown(paths.socketDir, 1, 1);
    await removeState(paths);
    assert.equal(existsSync(paths.socketDir), true);
    assert.equal(existsSync(paths.state), false);
  },
);
