import { lstat, readFile, readdir } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { checkPathLength, removeDeadSocket } from "./private-socket.ts";

/** The mounts that this process sees (proc(5)). Below `thread-self`, which Node's permission model has open in the image. */
const MOUNTS_FILE = "/proc/thread-self/mountinfo";

/** On folders in which everybody makes files, and each removes his own alone. */
const STICKY_BIT = 0o1000;

/**
 * Makes a path free to listen on for every user of whatever has its folder: the folder is a mount, so that somebody has
 * decided who else has it, and nothing but the socket is in it, so that it was given for that. That keeps most folders out
 * that every user of a machine comes to, such as `/run`; the sticky bit tells of those that are empty mounts, such as
 * `/dev/shm` or `/tmp`. A socket that a dead process left behind is removed.
 *
 * @throws {PolarisError} PROXY_ENVIRONMENT_INVALID if the path is too long, if the folder is another one, or if something
 *   else than a socket is there
 * @throws {PolarisError} PORT_TAKEN if somebody listens on it
 * @throws {PolarisError} STATE_UNWRITABLE if the folder cannot be read
 */
export async function claimMountedSocket(path: string): Promise<void> {
  checkPathLength(path);
  const folder = resolve(dirname(path));
  if (!(await listMountPoints()).has(folder)) {
    throw new PolarisError(
      "PROXY_ENVIRONMENT_INVALID",
      `${folder} is not a mount, expected one that proxy and workload have and nobody else`,
    );
  }
  // Not everybody's write bit: volumes that two containers have to themselves come with it (emptyDir of Kubernetes: 0777).
  if (((await readMode(folder)) & STICKY_BIT) !== 0) {
    throw new PolarisError(
      "PROXY_ENVIRONMENT_INVALID",
      `${folder} is for everybody (it has the sticky bit), expected a folder that proxy and workload have and nobody else`,
      { hint: "a tmpfs has it unless it is mounted with a mode of its own, such as mode=0777" },
    );
  }
  const others = (await listFolder(folder)).filter((name) => name !== basename(path));
  if (others.length > 0) {
    throw new PolarisError(
      "PROXY_ENVIRONMENT_INVALID",
      `${folder} is not for the socket ${basename(path)} alone, it holds something else too`,
    );
  }
  await removeDeadSocket(path);
}

async function readMode(folder: string): Promise<number> {
  try {
    return (await lstat(folder)).mode;
  } catch (cause) {
    throw new PolarisError("STATE_UNWRITABLE", `cannot look at the folder ${folder}`, { cause });
  }
}

async function listFolder(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (cause) {
    throw new PolarisError("STATE_UNWRITABLE", `cannot read the folder ${folder}`, { cause });
  }
}

/** None where there is no such file, which is everywhere but on Linux. */
async function listMountPoints(): Promise<ReadonlySet<string>> {
  const text = await readFile(MOUNTS_FILE, "utf8").catch(() => "");
  // The fifth field of each line; blanks and backslashes in it are written as three octal digits.
  const fields = text.split("\n").map((line) => line.split(" ")[4] ?? "");
  return new Set(
    fields.map((field) =>
      field.replaceAll(/\\([0-7]{3})/g, (_escape, digits: string) =>
        String.fromCharCode(Number.parseInt(digits, 8)),
      ),
    ),
  );
}
