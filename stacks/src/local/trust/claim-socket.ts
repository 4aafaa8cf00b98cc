import { chmod, chown, lstat, mkdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import { dirname } from "node:path";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { isErrno } from "./durable-file.ts";

/** Bytes of `sun_path` without the terminating zero, on the platform that has fewest (macOS). */
const MAX_SOCKET_PATH_BYTES = 103;

/**
 * Makes a path free to listen on: its folder belongs to this user alone, and a socket that a dead process left behind is
 * removed.
 *
 * @param group  id of a group that may enter the folder too, but not write there; null: none
 * @throws {PolarisError} CONFIG_INVALID if the path is too long
 * @throws {PolarisError} STATE_CORRUPT if the folder is open to others, or if something else than a socket is there
 * @throws {PolarisError} PORT_TAKEN if somebody listens on it
 */
export async function claimSocketPath(path: string, group: number | null): Promise<void> {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw new PolarisError(
      "CONFIG_INVALID",
      `the socket path is longer than ${MAX_SOCKET_PATH_BYTES} bytes: ${path}`,
    );
  }
  await claimFolder(dirname(path), group);
  const found = await lstatIfPresent(path);
  if (found === undefined) return;
  if (!found.isSocket()) throw new PolarisError("STATE_CORRUPT", `${path} is not a socket`);
  if (await isAnswering(path)) throw new PolarisError("PORT_TAKEN", `somebody else listens on ${path}`);
  await rm(path, { force: true });
}

/**
 * Lets this user connect to a socket that it listens on, and a group if one is named.
 *
 * @throws {PolarisError} STATE_UNWRITABLE if this user may not give files to that group
 */
export async function restrictSocket(path: string, group: number | null): Promise<void> {
  try {
    if (group !== null) await chown(path, process.getuid?.() ?? -1, group);
    await chmod(path, group === null ? 0o600 : 0o660);
  } catch (cause) {
    throw new PolarisError("STATE_UNWRITABLE", `cannot give the rights of ${path}`, { cause });
  }
}

async function claimFolder(folder: string, group: number | null): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new PolarisError("STATE_UNWRITABLE", `cannot make the folder ${folder}`, { cause });
  }
  // Not stat: in a folder for everybody, a link that somebody else made must not be followed.
  const found = await lstat(folder);
  const isClosed = (found.mode & 0o077) === 0 || ((found.mode & 0o027) === 0 && found.gid === group);
  if (!found.isDirectory() || found.uid !== process.getuid?.() || !isClosed) {
    throw new PolarisError("STATE_CORRUPT", `${folder} is not a folder of this user alone`, {
      hint: `remove it, or run "chmod 700" on it if it is yours`,
    });
  }
}

async function lstatIfPresent(path: string): Promise<Awaited<ReturnType<typeof lstat>> | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

async function isAnswering(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(path);
  socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
  const answering = await promise;
  socket.destroy();
  return answering;
}
