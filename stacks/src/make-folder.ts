import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { errnoOf, stateUnwritable } from "./atomic-file.ts";

/**
 * Makes a folder, and those above it that are missing; nothing happens if it is there. Instead of `mkdir` with
 * `recursive`, which never returns where the file system refuses a folder with ENOENT, as /proc does.
 *
 * @param mode  permission bits of what is made
 * @throws {PolarisError} STATE_UNWRITABLE naming the folder
 */
export async function makeFolder(path: string, mode?: number): Promise<void> {
  if (await tryMake(path, mode)) return;
  const parent = dirname(path);
  if (parent !== path) await makeFolder(parent, mode);
  if (await tryMake(path, mode)) return;
  throw new PolarisError("STATE_UNWRITABLE", `cannot make the folder ${path}: ${parent} takes none`, {
    hint: "choose a folder on a disk",
    details: { path, errno: "ENOENT" },
  });
}

/** @returns false if a folder above it is missing, or says so */
async function tryMake(path: string, mode: number | undefined): Promise<boolean> {
  try {
    await mkdir(path, mode === undefined ? {} : { mode });
    return true;
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno === "ENOENT") return false;
    // Whatever the reason, a folder that is there is all that was wanted: "/" is EISDIR on some systems, EROFS on others.
    if (await isFolder(path)) return true;
    throw stateUnwritable(path, cause);
  }
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
