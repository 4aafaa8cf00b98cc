import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { PolarisError } from "@polaris-cvm/sdk/errors";

/**
 * Writes a file or folder beside its place under another name and then puts it there, so that whoever looks finds all of
 * it or nothing. What was written is removed if anything fails; a process that is killed leaves it behind, under a name
 * that nobody reads (`.<name>.<process>.<random>.tmp`).
 *
 * @throws {PolarisError} STATE_UNWRITABLE naming the path; whatever else `write` throws is passed on
 */
export async function writeAside(
  path: string,
  write: (temporary: string) => Promise<void>,
  place: (temporary: string) => Promise<void>,
): Promise<void> {
  const temporary = temporaryBeside(path);
  try {
    await write(temporary);
    await place(temporary);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => {
      // What cannot be written can often not be removed either; the first failure is the one to tell.
    });
    throw isSystemError(error) ? stateUnwritable(path, error) : error;
  }
}

/** A name beside a path that nobody else has, in the same file system. */
export function temporaryBeside(path: string): string {
  return join(dirname(path), `.${basename(path)}.${process.pid}.${randomBytes(6).toString("hex")}.tmp`);
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException & { readonly code: string } {
  return error instanceof Error && "syscall" in error && "code" in error && typeof error.code === "string";
}

function stateUnwritable(
  path: string,
  cause: NodeJS.ErrnoException & { readonly code: string },
): PolarisError {
  const [reason, hint] = REASONS.get(cause.code) ?? [cause.code, OTHER_PLACE];
  return new PolarisError("STATE_UNWRITABLE", `cannot write ${path}: ${reason}`, {
    hint,
    details: { path, errno: cause.code },
    cause,
  });
}

const OTHER_PLACE = "make that place writable for you, or choose another one, then run the command again";
const MORE_SPACE = "free some space, or choose another place, then run the command again";

const REASONS: ReadonlyMap<string, readonly [reason: string, hint: string]> = new Map([
  ["ENOSPC", ["no space left on the disk", MORE_SPACE]],
  ["EDQUOT", ["disk quota exceeded", MORE_SPACE]],
  ["EFBIG", ["the file is larger than allowed here", MORE_SPACE]],
  ["EROFS", ["the file system is read-only", OTHER_PLACE]],
  ["EACCES", ["permission denied", OTHER_PLACE]],
  ["EPERM", ["operation not permitted", OTHER_PLACE]],
  [
    "ENOENT",
    ["its folder does not exist", "make that folder, or choose another place, then run the command again"],
  ],
  ["ENOTDIR", ["it, or what should be a folder above it, is a file", OTHER_PLACE]],
  ["EISDIR", ["it is a folder", OTHER_PLACE]],
]);
