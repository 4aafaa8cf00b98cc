import { randomBytes } from "node:crypto";
import { open, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { stateUnwritable } from "./system-error.ts";

/** What a file gets: all at once, or piece by piece. */
export type FileContent = string | Uint8Array | AsyncIterable<Uint8Array>;

export interface NewFileOptions {
  /** Permission bits; the umask takes some away. Default: everybody may read and write. */
  readonly mode?: number;
  /** Wait until the bytes are on the disk (default). */
  readonly durable?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Writes a file or folder beside its place under another name and then puts it there, so that whoever looks finds all of
 * it or nothing. What was written is removed if anything fails; a process that is killed leaves it behind, under a name
 * that nobody reads (`.<name>.<process>.<random>.tmp`).
 *
 * @param write  has to bring to the disk what it writes: a name that is there before its bytes shows nothing after a power
 *   failure
 * @param options.durable  wait until the name is on the disk, too (default)
 * @returns what `place` returns
 * @throws {PolarisError} STATE_UNWRITABLE naming the path; whatever else `write` throws is passed on
 */
export async function writeAside<T>(
  path: string,
  write: (temporary: string) => Promise<void>,
  place: (temporary: string) => Promise<T>,
  { durable = true }: { readonly durable?: boolean } = {},
): Promise<T> {
  const temporary = temporaryBeside(path);
  try {
    await write(temporary);
    const placed = await place(temporary);
    if (durable) await syncFolder(dirname(path));
    return placed;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => {
      // What cannot be written can often not be removed either; the first failure is the one to tell.
    });
    throw isSystemError(error) ? stateUnwritable(path, error) : error;
  }
}

/** Writes a file that is not there yet. */
export async function writeNewFile(
  path: string,
  content: FileContent,
  { mode = 0o666, durable = true, signal }: NewFileOptions = {},
): Promise<void> {
  await using file = await open(path, "wx", mode);
  await file.writeFile(content, { signal });
  if (durable) await file.sync();
}

/** Brings the names in a folder to the disk: those of new files, and those that were changed. */
export async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, "r");
  await folder.sync();
}

/** A name beside a path that nobody else has, in the same file system. */
export function temporaryBeside(path: string): string {
  return join(dirname(path), `.${basename(path)}.${process.pid}.${randomBytes(6).toString("hex")}.tmp`);
}

/** Which process has written what has a name of {@link temporaryBeside}; undefined for any other name. */
export function writerOfTemporaryFile(name: string): number | undefined {
  const match = /^\..+\.(\d+)\.[0-9a-f]{12}\.tmp$/.exec(name);
  return match?.[1] === undefined ? undefined : Number(match[1]);
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && "syscall" in error && "code" in error && typeof error.code === "string";
}
