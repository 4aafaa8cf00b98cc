import { PolarisError } from "@polaris-cvm/sdk/errors";

/**
 * A failure to write as the one error for it, with the reason in words.
 *
 * @returns {PolarisError} STATE_UNWRITABLE; `details` has path and, if the system gave one, errno
 */
export function stateUnwritable(path: string, cause: unknown): PolarisError {
  const errno = errnoOf(cause);
  const [reason, hint = OTHER_PLACE] = REASONS.get(errno ?? "") ?? [errno ?? "unknown reason"];
  return new PolarisError("STATE_UNWRITABLE", `cannot write ${path}: ${reason}`, {
    hint,
    details: { path, ...(errno !== undefined && { errno }) },
    cause,
  });
}

/** `ENOENT` and its like, if the error comes from the operating system. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

const OTHER_PLACE = "make that place writable for you, or choose another one, then run the command again";
const MORE_SPACE = "free some space, or choose another place, then run the command again";

const REASONS: ReadonlyMap<string, readonly [reason: string, hint?: string]> = new Map([
  ["ENOSPC", ["no space left on the disk", MORE_SPACE]],
  ["EDQUOT", ["disk quota exceeded", MORE_SPACE]],
  ["EFBIG", ["the file is larger than allowed here", MORE_SPACE]],
  ["EROFS", ["the file system is read-only"]],
  ["EACCES", ["permission denied"]],
  ["EPERM", ["operation not permitted"]],
  [
    "ENOENT",
    ["its folder does not exist", "make that folder, or choose another place, then run the command again"],
  ],
  ["ENOTDIR", ["a part of the path is not a folder"]],
  ["EISDIR", ["it is a folder"]],
  ["EIO", ["input/output error of the disk"]],
  [
    "EMFILE",
    [
      "this process has too many open files",
      'raise the limit ("ulimit -n 1024"), then run the command again',
    ],
  ],
  [
    "ENFILE",
    ["the machine has too many open files", "end what has so many files open, then run the command again"],
  ],
]);
