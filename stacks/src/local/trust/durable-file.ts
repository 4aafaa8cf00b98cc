import { randomBytes } from "node:crypto";
import { chmod, mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { PolarisError } from "@polaris-cvm/sdk/errors";

const TEMPORARY_PREFIX = ".new-";

/**
 * Replaces a file so that a reader, and the next start after a crash, sees the old content or the new one and nothing in
 * between: temporary file, fsync, rename, fsync of the folder. Mode 0600.
 *
 * @param group  id of a group that may read it too (0640); null: none
 * @throws {PolarisError} STATE_UNWRITABLE
 */
export async function writeFileDurably(
  path: string,
  content: string | Uint8Array,
  group: number | null = null,
): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `${TEMPORARY_PREFIX}${basename(path)}-${randomBytes(6).toString("hex")}`);
  try {
    const file = await open(temporary, "wx", 0o600);
    try {
      if (group !== null) {
        await file.chown(process.getuid?.() ?? -1, group);
        await file.chmod(0o640);
      }
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(folder);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw unwritable(path, cause);
  }
}

/**
 * Makes a folder for one user (0700) if it is not there, and takes rights of others away if it is.
 *
 * @throws {PolarisError} STATE_UNWRITABLE
 */
export async function ensurePrivateFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await chmod(path, 0o700);
  } catch (cause) {
    throw unwritable(path, cause);
  }
}

/** Content of a file; undefined if there is no such file. */
export async function readFileIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if (isErrno(cause, "ENOENT")) return undefined;
    throw new PolarisError("STATE_CORRUPT", `cannot read ${path}`, { cause });
  }
}

/** Removes a file for good, if it is there. */
export async function removeFileDurably(path: string): Promise<void> {
  try {
    await rm(path, { force: true });
    await syncFolder(dirname(path));
  } catch (cause) {
    throw unwritable(path, cause);
  }
}

/** Names in a folder, without what an interrupted write left behind: that is removed, nobody has ever read it. */
export async function readFolder(path: string): Promise<readonly string[]> {
  const names = await readdir(path);
  const leftBehind = names.filter((name) => name.startsWith(TEMPORARY_PREFIX));
  await Promise.all(leftBehind.map((name) => rm(join(path, name), { force: true })));
  return names.filter((name) => !leftBehind.includes(name));
}

export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function unwritable(path: string, cause: unknown): PolarisError {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown error";
  return new PolarisError("STATE_UNWRITABLE", `cannot write ${path}: ${code}`, {
    hint: "check the free space and the rights of the folder",
    cause,
  });
}
