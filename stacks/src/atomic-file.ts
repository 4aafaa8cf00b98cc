import { randomBytes } from "node:crypto";
import { link, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { isPolarisError, PolarisError } from "@polaris-cvm/sdk/errors";

export interface AtomicFileOptions {
  /** Permission bits; only the owner may read unless told otherwise. */
  readonly mode?: number;
  /**
   * Wait until the bytes are on the disk (default). `false` is for what means nothing after a power failure, such as
   * records of processes: the file is still whole or absent, whatever happens to this process.
   */
  readonly durable?: boolean;
}

/** What a file gets: all at once, or piece by piece. A PolarisError that the pieces end with is passed on as it is. */
export type FileContent = string | Uint8Array | AsyncIterable<Uint8Array>;

/**
 * Writes a file so that every reader, and every crash, finds the old bytes or the new ones and never a part of them.
 *
 * @throws {PolarisError} STATE_UNWRITABLE naming the path (disk full, read-only, no permission, no such folder …)
 */
export async function writeFileAtomic(
  path: string,
  data: FileContent,
  options: AtomicFileOptions = {},
): Promise<void> {
  await throughTemporaryFile(path, data, options, (temporary) => rename(temporary, path));
}

/**
 * Creates a file that must not exist yet, whole at once: of several who try, exactly one gets `true`.
 *
 * @returns false if the file is already there (it is left as it is)
 * @throws {PolarisError} STATE_UNWRITABLE naming the path
 */
export async function createFileAtomic(
  path: string,
  data: FileContent,
  options: AtomicFileOptions = {},
): Promise<boolean> {
  return throughTemporaryFile(path, data, options, async (temporary) => {
    try {
      // Not open(path, "wx"): that shows an empty file to others until the bytes are written.
      await link(temporary, path);
    } catch (cause) {
      if (errnoOf(cause) === "EEXIST") return false;
      throw cause;
    } finally {
      await rm(temporary, { force: true });
    }
    return true;
  });
}

/** The name of a file that {@link writeFileAtomic} has left behind because its process was killed: who wrote it. */
export function writerOfTemporaryFile(name: string): number | undefined {
  const match = /^\..+\.(\d+)\.[0-9a-f]{12}\.tmp$/.exec(name);
  return match?.[1] === undefined ? undefined : Number(match[1]);
}

/** A failure to write as the one error for it, with the reason in words. */
export function stateUnwritable(path: string, cause: unknown): PolarisError {
  const code = errnoOf(cause);
  const reason = REASONS.get(code ?? "") ?? code ?? "unknown reason";
  return new PolarisError("STATE_UNWRITABLE", `cannot write ${path}: ${reason}`, {
    hint: HINTS.get(code ?? "") ?? "make that place writable for you, then run the command again",
    details: { path, ...(code === undefined ? {} : { errno: code }) },
    cause,
  });
}

/** `ENOENT` and its like, if the error comes from the operating system. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

const REASONS = new Map([
  ["ENOSPC", "no space left on the disk"],
  ["EDQUOT", "disk quota exceeded"],
  ["EROFS", "the file system is read-only"],
  ["EACCES", "permission denied"],
  ["EPERM", "operation not permitted"],
  ["ENOENT", "its folder does not exist"],
  ["ENOTDIR", "a part of the path is not a folder"],
  ["EISDIR", "it is a folder"],
  ["EIO", "input/output error of the disk"],
  ["EMFILE", "this process has too many open files"],
  ["ENFILE", "the machine has too many open files"],
]);

const HINTS = new Map([
  ["ENOSPC", "free some space, then run the command again: it goes on from here"],
  ["EDQUOT", "free some space, then run the command again: it goes on from here"],
  ["EMFILE", 'raise the limit ("ulimit -n 1024"), then run the command again'],
  ["ENFILE", "end what has so many files open, then run the command again"],
]);

async function throughTemporaryFile<T>(
  path: string,
  data: FileContent,
  { mode = 0o600, durable = true }: AtomicFileOptions,
  place: (temporary: string) => Promise<T>,
): Promise<T> {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${process.pid}.${randomBytes(6).toString("hex")}.tmp`);
  try {
    const file = await open(temporary, "wx", mode);
    try {
      await file.writeFile(data);
      if (durable) await file.sync();
    } finally {
      await file.close();
    }
    const result = await place(temporary);
    if (durable) await syncFolder(folder);
    return result;
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => {
      // What cannot be written can often not be removed either; the first failure is the one to tell.
    });
    throw isPolarisError(cause) ? cause : stateUnwritable(path, cause);
  }
}

/** A rename is only on the disk when its folder is. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
