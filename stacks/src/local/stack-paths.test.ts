import assert from "node:assert/strict";
import { mkdir, mkdtemp, realpath, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { stackPaths } from "./stack-paths.ts";

test("a project is the same stack through a link, and two projects are two", async (t) => {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "polaris-paths-")));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await mkdir(join(folder, "shop"));
  await symlink(join(folder, "shop"), join(folder, "link"));
  const shop = stackPaths(join(folder, "shop"), "default");
  assert.equal(shop.projectDir, join(folder, "shop"));
  assert.deepEqual(stackPaths(join(folder, "link"), "default"), shop);
  assert.notEqual(stackPaths(folder, "default").socketDir, shop.socketDir);
  assert.notEqual(stackPaths(join(folder, "shop"), "other").socketDir, shop.socketDir);

  await rm(join(folder, "shop"), { recursive: true });
  assert.deepEqual(stackPaths(join(folder, "shop"), "default"), shop);
});
