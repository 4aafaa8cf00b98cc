import { lstat, mkdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import { dirname } from "node:path";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { MAX_SOCKET_PATH_BYTES } from "./environment-values.ts";

/**
 * Makes a path free to listen on for this user alone: the last folder of it is ours and closed to everybody else, and a
 * socket that a dead process left behind is removed. Nothing else is ever removed.
 *
 * @throws {PolarisError} PROXY_ENVIRONMENT_INVALID if the path is too long, or if something else than a socket is there
 * @throws {PolarisError} STATE_CORRUPT if the folder is open to others or not ours
 * @throws {PolarisError} STATE_UNWRITABLE if the folder cannot be made
 * @throws {PolarisError} PORT_TAKEN if somebody listens on it
 */
export async function claimPrivateSocket(path: string): Promise<void> {
  checkPathLength(path);
  await claimFolder(dirname(path));
  await removeDeadSocket(path);
}

/** @throws {PolarisError} PROXY_ENVIRONMENT_INVALID if no socket can have this path */
export function checkPathLength(path: string): void {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw new PolarisError(
      "PROXY_ENVIRONMENT_INVALID",
      `the path of a socket has at most ${MAX_SOCKET_PATH_BYTES} bytes, got ${path}`,
    );
  }
}

/**
 * Removes a socket that nobody listens on any more.
 *
 * @throws {PolarisError} PROXY_ENVIRONMENT_INVALID if something else than a socket is there
 * @throws {PolarisError} PORT_TAKEN if somebody listens on it
 */
export async function removeDeadSocket(path: string): Promise<void> {
  const found = await lstatIfPresent(path);
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new PolarisError("PROXY_ENVIRONMENT_INVALID", `${path} is there and is not a socket`);
  }
  if (await isAnswering(path)) throw new PolarisError("PORT_TAKEN", `somebody else listens on ${path}`);
  await rm(path, { force: true });
}

async function claimFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new PolarisError("STATE_UNWRITABLE", `cannot make the folder ${folder}`, { cause });
  }
  // Not stat: a link that somebody else made, in a folder for everybody, must not be followed.
  const found = await lstat(folder);
  if (!found.isDirectory() || found.uid !== process.getuid?.() || (found.mode & 0o077) !== 0) {
    throw new PolarisError(
      "STATE_CORRUPT",
      `${folder} is not a folder of this user alone, expected mode 700 and no link`,
    );
  }
}

async function lstatIfPresent(path: string): Promise<Awaited<ReturnType<typeof lstat>> | undefined> {
  return await lstat(path).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  });
}

/** True if a process listens; a socket file that nobody listens on any more refuses. */
async function isAnswering(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(path);
  socket
    .once("connect", () => resolve(true))
    // Whatever else goes wrong, somebody may be there: only a refusal says that nobody is.
    .once("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "ECONNREFUSED"));
  const answering = await promise;
  socket.destroy();
  return answering;
}
