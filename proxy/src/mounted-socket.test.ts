import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { chmod, link, lstat, mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { createLog } from "./log.ts";
import { claimMountedSocket } from "./mounted-socket.ts";
import { createWorkloadKeyApi } from "./workload-key-api.ts";

const run = promisify(execFile);

const skip =
  process.platform === "linux" && process.getuid?.() === 0
    ? false
    : "only root, on Linux, can mount a folder";

async function makeFolder(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-mounted-"));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A folder that is a mount of its own, on the disk where it was: as engines give folders to containers. */
async function mountFolder(context: TestContext, name = "given"): Promise<string> {
  return await mountOn(context, name, (folder) => ["--bind", folder, folder]);
}

async function mountOn(
  context: TestContext,
  name: string,
  what: (folder: string) => readonly string[],
): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), "polaris-mounted-"));
  const folder = join(parent, name);
  await mkdir(folder);
  await run("mount", what(folder));
  context.after(async () => {
    await run("umount", ["--lazy", folder]);
    await rm(parent, { recursive: true, force: true });
  });
  return folder;
}

test("a mounted folder may be open to others, whatever its name", { skip }, async (context) => {
  for (const name of ["given", "a b\\c"]) {
    const folder = await mountFolder(context, name);
    await claimMountedSocket(join(folder, "api.sock"));
    await assert.rejects(lstat(join(folder, "api.sock")), { code: "ENOENT" });
  }
});

test(
  "an empty tmpfs is refused if it is one for everybody, as /dev/shm and /tmp are",
  { skip },
  async (context) => {
    const folder = await mountOn(context, "tmpfs", (place) => ["-t", "tmpfs", "tmpfs", place]);
    assert.equal((await lstat(folder)).mode & 0o7777, 0o1777);
    await assert.rejects(claimMountedSocket(join(folder, "api.sock")), {
      code: "PROXY_ENVIRONMENT_INVALID",
      message: `${folder} is for everybody (it has the sticky bit), expected a folder that proxy and workload have and nobody else`,
    });
    // As Kubernetes gives an emptyDir to the containers of one pod.
    await chmod(folder, 0o777);
    await claimMountedSocket(join(folder, "api.sock"));
  },
);

test("a folder that is no mount is refused, be it private, missing, below a mount or a link to one", async (context) => {
  const folder = await makeFolder(context);
  const missing = join(folder, "missing");
  const refused = [folder, missing];
  if (skip === false) {
    const mounted = await mountFolder(context);
    await mkdir(join(mounted, "below"));
    await symlink(mounted, join(folder, "link"));
    refused.push(join(mounted, "below"), join(folder, "link"));
  }
  for (const place of refused) {
    await assert.rejects(claimMountedSocket(join(place, "api.sock")), {
      code: "PROXY_ENVIRONMENT_INVALID",
      message: `${place} is not a mount, expected one that proxy and workload have and nobody else`,
    });
  }
  await assert.rejects(lstat(missing), { code: "ENOENT" });
});

test("a mount that has anything else in it is refused, and so is the root", { skip }, async (context) => {
  const folder = await mountFolder(context);
  await writeFile(join(folder, "other"), "");
  await assert.rejects(claimMountedSocket(join(folder, "api.sock")), {
    code: "PROXY_ENVIRONMENT_INVALID",
    message: `${folder} is not for the socket api.sock alone, it holds something else too`,
  });
  await assert.rejects(claimMountedSocket("/api.sock"), { code: "PROXY_ENVIRONMENT_INVALID" });
});

test(
  "a socket that nobody listens on is removed, and no other one, and nothing else",
  { skip },
  async (context) => {
    const path = join(await mountFolder(context), "api.sock");
    const server = createServer().listen(path);
    await once(server, "listening");
    await assert.rejects(claimMountedSocket(path), { code: "PORT_TAKEN" });
    // A process that was killed leaves its socket: here, under another name meanwhile, which the server does not know.
    await link(path, `${path}.left`);
    server.close();
    await once(server, "close");
    await rename(`${path}.left`, path);
    assert.ok((await lstat(path)).isSocket());
    await claimMountedSocket(path);
    await assert.rejects(lstat(path), { code: "ENOENT" });

    await writeFile(path, "precious");
    await assert.rejects(claimMountedSocket(path), {
      code: "PROXY_ENVIRONMENT_INVALID",
      message: `${path} is there and is not a socket`,
    });
  },
);

test("the key API lets every user connect who has its folder", { skip }, async (context) => {
  const folder = await mountFolder(context);
  const socketPath = join(folder, "api.sock");
  const { mode } = await lstat(folder);
  const api = createWorkloadKeyApi({
    socketPath,
    access: "mounted",
    keys: { unwrap: () => Promise.reject(new Error("not asked")) },
    log: createLog("silent", { write: () => undefined }),
  });
  await api.listen();
  assert.equal((await lstat(socketPath)).mode & 0o777, 0o666);
  assert.equal((await lstat(folder)).mode, mode);
  await api.close();
  await assert.rejects(lstat(socketPath), { code: "ENOENT" });
});
