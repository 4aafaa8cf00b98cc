import { readFile } from "node:fs/promises";

import { PolarisError } from "@polaris-cvm/sdk/errors";

import { errnoOf, writeFileAtomic } from "../atomic-file.ts";
import { freezeTree } from "../config/immutable.ts";
import { formatCanonicalJson } from "./canonical-json.ts";
import { lockFileSchema } from "./schema.ts";
import type { LockFile } from "./schema.ts";

/** polaris.lock is committed: everybody who verifies reads it. */
const LOCK_FILE_MODE = 0o644;

/**
 * Reads polaris.lock. It has to be exactly what Polaris writes: with keys that stand twice, or that nobody knows, a reviewer
 * would see other expectations than `verify` takes.
 *
 * @returns frozen; undefined if there is no such file
 * @throws {PolarisError} LOCK_FILE_CORRUPT
 */
export async function loadLockFile(path: string): Promise<LockFile | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno === "ENOENT") return undefined;
    throw corrupt(path, `cannot be read (${errno ?? "unknown reason"})`, cause);
  }
  return parseLockFile(text, path);
}

/** The same for a text; `path` is how messages call it. */
export function parseLockFile(text: string, path: string): LockFile {
  // A checkout may have turned line feeds into CR LF; in JSON that changes no value.
  const written = text.replaceAll("\r\n", "\n");
  if (/^(?:<{7}|={7}|>{7})/m.test(written)) {
    throw corrupt(path, "holds the marks of an unfinished merge", undefined);
  }
  let json: unknown;
  try {
    json = JSON.parse(written);
  } catch (cause) {
    throw corrupt(path, "is not JSON", cause);
  }
  const result = lockFileSchema.safeParse(json);
  if (!result.success) {
    const [issue] = result.error.issues;
    const where =
      issue === undefined || issue.path.length === 0 ? "the top level" : issue.path.map(String).join(".");
    throw corrupt(path, `is not a lock of this version: wrong at ${where}`, result.error);
  }
  if (formatCanonicalJson(withoutDefaults(result.data, json)) !== written) {
    throw corrupt(path, "is not as polaris wrote it: edited by hand, formatted, or a key twice", undefined);
  }
  freezeTree(result.data);
  return result.data;
}

/**
 * Writes polaris.lock whole or not at all.
 *
 * @throws {PolarisError} STATE_UNWRITABLE naming the path
 */
export async function saveLockFile(path: string, lockFile: LockFile): Promise<void> {
  const checked = lockFileSchema.safeParse(lockFile);
  if (!checked.success) {
    throw new PolarisError("INTERNAL", `what would be written to ${path} is not a valid lock`, {
      cause: checked.error,
    });
  }
  await writeFileAtomic(path, formatCanonicalJson(checked.data), { mode: LOCK_FILE_MODE });
}

/** The lock with the fields of its own text only: one of an older version is as polaris wrote it, too. */
function withoutDefaults(lock: LockFile, json: unknown): unknown {
  const written = json as { readonly deployed: Readonly<Record<string, object>> };
  const deployed = Object.entries(lock.deployed).map(([stack, { tls, ...rest }]) => [
    stack,
    "tls" in (written.deployed[stack] ?? {}) ? { ...rest, tls } : rest,
  ]);
  return { ...lock, deployed: Object.fromEntries(deployed) as unknown };
}

function corrupt(path: string, problem: string, cause: unknown): PolarisError {
  return new PolarisError("LOCK_FILE_CORRUPT", `${path} ${problem}`, {
    hint: "take it from version control again; without it every stack gets new names, and a kept key is not found",
    details: { path },
    ...(cause === undefined ? {} : { cause }),
  });
}
