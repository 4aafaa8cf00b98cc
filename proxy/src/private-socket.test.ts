import assert from "node:assert/strict";
import { once } from "node:events";
import { chmod, link, lstat, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { claimPrivateSocket } from "./private-socket.ts";

async function makeFolder(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-socket-"));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

test("makes the folder, closed to everybody else", async (context) => {
  const folder = join(await makeFolder(context), "keys");
  await claimPrivateSocket(join(folder, "api.sock"));
  assert.equal((await lstat(folder)).mode & 0o777, 0o700);
});

test("refuses a folder that others can look into, and one behind a link", async (context) => {
  const folder = await makeFolder(context);
  const open = join(folder, "open");
  await mkdir(open);
  for (const mode of [0o755, 0o710, 0o701, 0o770]) {
    await chmod(open, mode);
    await assert.rejects(claimPrivateSocket(join(open, "api.sock")), {
      code: "STATE_CORRUPT",
      message: `${open} is not a folder of this user alone, expected mode 700 and no link`,
    });
  }
  await chmod(open, 0o700);
  await symlink(open, join(folder, "link"));
  await assert.rejects(claimPrivateSocket(join(folder, "link", "api.sock")), { code: "STATE_CORRUPT" });
  await claimPrivateSocket(join(open, "api.sock"));
});

test("removes a socket that nobody listens on, and leaves one that somebody does", async (context) => {
  const folder = await makeFolder(context);
  const path = join(folder, "api.sock");
  const server = createServer().listen(path);
  await once(server, "listening");
  await assert.rejects(claimPrivateSocket(path), {
    code: "PORT_TAKEN",
    message: `somebody else listens on ${path}`,
  });
  assert.ok((await lstat(path)).isSocket());

  // A process that was killed leaves its socket file: here, another name for it, which the server does not know.
  const stale = join(folder, "stale.sock");
  await link(path, stale);
  server.close();
  await once(server, "close");
  assert.ok((await lstat(stale)).isSocket());
  await claimPrivateSocket(stale);
  await assert.rejects(lstat(stale), { code: "ENOENT" });
});

test("never removes what is no socket", async (context) => {
  const folder = await makeFolder(context);
  const path = join(folder, "api.sock");
  await writeFile(path, "precious");
  await assert.rejects(claimPrivateSocket(path), {
    code: "PROXY_ENVIRONMENT_INVALID",
    message: `${path} is there and is not a socket`,
  });
  assert.equal(await readFile(path, "utf8"), "precious");
  const other = join(folder, "other.sock");
  await symlink(path, other);
  await assert.rejects(claimPrivateSocket(other), { code: "PROXY_ENVIRONMENT_INVALID" });
});

test("refuses a path that no socket can have, before it makes anything", async (context) => {
  const folder = join(await makeFolder(context), "f".repeat(100));
  await assert.rejects(claimPrivateSocket(join(folder, "api.sock")), {
    code: "PROXY_ENVIRONMENT_INVALID",
    message: /^the path of a socket has at most 103 bytes, got /,
  });
  await assert.rejects(lstat(folder), { code: "ENOENT" });
});
