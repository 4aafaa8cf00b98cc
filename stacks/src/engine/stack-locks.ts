import { readFile, readdir } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import * as z from "zod";
import { errnoOf } from "../atomic-file.ts";
import { readIdentity } from "../local/supervisor/process-identity.ts";

/** Who changes a stack, as far as the state says. */
export interface EngineLock {
  readonly pid: number;
  readonly user: string;
  readonly host: string;
  /** RFC 3339. */
  readonly since: string;
  /** The process ran on this machine, and is gone: nobody will ever take the lock away. */
  readonly isOrphaned: boolean;
}

/** One file of a lock, as Pulumi writes it into folders and buckets. */
const lockFile = z.object({
  pid: z.int().positive(),
  username: z.string().max(256),
  hostname: z.string().max(256),
  timestamp: z.string().max(64),
});

/** How the engine says who holds a stack; the same words for every kind of bucket. */
const LOCK_LINE =
  /: created by (?<user>.{1,256})@(?<host>[^\s@]{1,256}) \(pid (?<pid>\d{1,10})\) at (?<since>\S{1,64})/g;

/**
 * Who holds a stack whose state is in a folder.
 *
 * @throws {PolarisError} STATE_CORRUPT if a lock cannot be understood
 */
export async function readFolderLocks(folder: string, project: string, stack: string): Promise<EngineLock[]> {
  const lockDir = join(folder, ".pulumi", "locks", "organization", project, stack);
  const locks = await Promise.all((await listFiles(lockDir)).map((name) => readLock(join(lockDir, name))));
  return locks.filter((lock) => lock !== undefined);
}

/** Who holds a stack, from what the engine says when it finds one locked. */
export function parseLocks(text: string): EngineLock[] {
  return [...text.matchAll(LOCK_LINE)].map(({ groups = {} }) =>
    describeLock({
      pid: Number(groups["pid"]),
      username: groups["user"] ?? "",
      hostname: groups["host"] ?? "",
      timestamp: groups["since"] ?? "",
    }),
  );
}

/** The error for a stack that somebody else changes. */
export function stackLocked(stack: string, locks: readonly EngineLock[]): PolarisError {
  const [first] = locks;
  if (first === undefined) {
    return new PolarisError("STACK_LOCKED", `stack ${stack} is being changed by somebody else`, {
      hint: "wait for it to end, or use --wait; if nothing works on it any more, run: polaris unlock",
    });
  }
  const { user, host, pid, since, isOrphaned } = first;
  return new PolarisError(
    "STACK_LOCKED",
    `stack ${stack} is locked by ${user} (process ${pid} on ${host}) since ${since}${isOrphaned ? ", a process that is gone" : ""}`,
    {
      hint: isOrphaned
        ? "nobody works on it any more; run: polaris unlock"
        : `wait for it to end, or use --wait; if nothing works on it on ${host} any more, run: polaris unlock --force`,
      details: { locks },
    },
  );
}

async function listFiles(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => name.endsWith(".json"));
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") return [];
    throw cause;
  }
}

async function readLock(path: string): Promise<EngineLock | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    // Given back while we looked.
    if (errnoOf(cause) === "ENOENT") return undefined;
    throw cause;
  }
  const lock = lockFile.safeParse(parseJson(text)).data;
  if (lock === undefined) {
    throw new PolarisError("STATE_CORRUPT", `${path} is not a lock of pulumi`, {
      hint: "if nothing works on this stack, run: polaris unlock --force",
      details: { path },
    });
  }
  return describeLock(lock);
}

function describeLock({ pid, username, hostname: host, timestamp }: z.output<typeof lockFile>): EngineLock {
  return {
    pid,
    user: username,
    host,
    since: timestamp,
    isOrphaned: host === hostname() && readIdentity(pid) === undefined,
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Cut off, or not the engine's: no lock either way.
    return undefined;
  }
}
