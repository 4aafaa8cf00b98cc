import assert from "node:assert/strict";
import { once } from "node:events";
import { chmod, chown, mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { claimSocketPath, restrictSocket } from "./claim-socket.ts";

const GROUP = 65_532;
const asRoot = { skip: process.getuid?.() !== 0 && "only root can give files to another group" };

async function makeSocketPath(t: TestContext, mode: number, group: number): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-claim-"));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, "sockets", "a.sock");
  await mkdir(dirname(path));
  await chown(dirname(path), process.getuid?.() ?? 0, group);
  await chmod(dirname(path), mode);
  return path;
}

test("a folder may be open to the named group for entering, and to nobody else", asRoot, async (t) => {
  await claimSocketPath(await makeSocketPath(t, 0o750, GROUP), GROUP);
  for (const [mode, group, allowed] of [
    [0o770, GROUP, GROUP],
    [0o751, GROUP, GROUP],
    [0o750, GROUP + 1, GROUP],
    [0o750, GROUP, null],
    [0o750, 0, null],
  ] as const) {
    await assert.rejects(claimSocketPath(await makeSocketPath(t, mode, group), allowed), {
      code: "STATE_CORRUPT",
    });
  }
});

test("a socket is its user's, and the group's if one is named", asRoot, async (t) => {
  const path = await makeSocketPath(t, 0o750, GROUP);
  const server = createServer().listen(path);
  await once(server, "listening");
  t.after(() => server.close());
  const rights = async (): Promise<[number, number]> => {
    const { mode, gid } = await stat(path);
    return [mode & 0o777, gid];
  };
  await restrictSocket(path, null);
  assert.deepEqual(await rights(), [0o600, 0]);
  await restrictSocket(path, GROUP);
  assert.deepEqual(await rights(), [0o660, GROUP]);
});
