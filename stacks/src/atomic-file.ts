import { link, rename, rm } from "node:fs/promises";
import { errnoOf, stateUnwritable } from "@polaris-cvm/images/system-error.ts";
import { writeAside, writeNewFile, writerOfTemporaryFile } from "@polaris-cvm/images/written-aside.ts";
import type { FileContent } from "@polaris-cvm/images/written-aside.ts";
import { isPolarisError } from "@polaris-cvm/sdk/errors";

// What the files of state fail with, and who left one half written.
export { errnoOf, stateUnwritable, writerOfTemporaryFile };

export interface AtomicFileOptions {
  /** Permission bits; only the owner may read unless told otherwise. */
  readonly mode?: number;
  /**
   * Wait until the bytes are on the disk (default). `false` is for what means nothing after a power failure, such as
   * records of processes: the file is still whole or absent, whatever happens to this process.
   */
  readonly durable?: boolean;
}

/**
 * Writes a file so that every reader, and every crash, finds the old bytes or the new ones and never a part of them.
 *
 * @param content  a PolarisError that its pieces end with is passed on as it is
 * @throws {PolarisError} STATE_UNWRITABLE naming the path (disk full, read-only, no permission, no such folder …)
 */
export async function writeFileAtomic(
  path: string,
  content: FileContent,
  options: AtomicFileOptions = {},
): Promise<void> {
  await throughTemporaryFile(path, content, options, (temporary) => rename(temporary, path));
}

/**
 * Creates a file that must not exist yet, whole at once: of several who try, exactly one gets `true`.
 *
 * @returns false if the file is already there (it is left as it is)
 * @throws {PolarisError} STATE_UNWRITABLE naming the path
 */
export async function createFileAtomic(
  path: string,
  content: FileContent,
  options: AtomicFileOptions = {},
): Promise<boolean> {
  return throughTemporaryFile(path, content, options, async (temporary) => {
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

async function throughTemporaryFile<T>(
  path: string,
  content: FileContent,
  { mode = 0o600, durable = true }: AtomicFileOptions,
  place: (temporary: string) => Promise<T>,
): Promise<T> {
  try {
    return await writeAside(path, (temporary) => writeNewFile(temporary, content, { mode, durable }), place, {
      durable,
    });
  } catch (cause) {
    // Wherever the pieces come from, the file is what could not be written.
    throw isPolarisError(cause) ? cause : stateUnwritable(path, cause);
  }
}
