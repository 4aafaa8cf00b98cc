import { randomBytes } from "node:crypto";
import { readFile, readdir, rename, rm } from "node:fs/promises";
import { hostname, userInfo } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { createFileAtomic, errnoOf, stateUnwritable, writeFileAtomic } from "../atomic-file.ts";
import { makeFolder } from "../make-folder.ts";
import { isAlive, ownIdentity } from "./supervisor/process-identity.ts";

/** Who holds a stack. */
export interface StackLockHolder {
  /** Tells this holding from every other. */
  readonly token: string;
  readonly pid: number;
  /** With the pid, the identity of the process (process-identity.ts). */
  readonly startTime: string;
  readonly host: string;
  readonly user: string;
  /** What it does, for instance `polaris deploy`. */
  readonly command: string;
  /** RFC 3339. */
  readonly since: string;
}

export interface AcquireStackLockOptions {
  /** `polaris deploy`: what others are told. */
  readonly command: string;
  /** How long to wait for somebody else, in milliseconds; 0 (default) not at all. */
  readonly waitMs?: number;
  readonly signal?: AbortSignal;
}

const WAIT_POLL_MS = 100;

/**
 * Makes this process the only one that changes the stack, until the returned function is called or the process ends,
 * in whatever way: a lock of a dead process is no lock.
 *
 * `lock.json` is created whole and exclusively. To take it over from a dead holder one creates, exclusively too,
 * `lock.<token of the dead>.takeover`, and looks again: whoever then is at the end of the chain lock.json → takeover →
 * takeover … holds the stack, and shortens the chain. So of several who find a dead holder exactly one gets it, whoever
 * of them is killed at whatever point.
 *
 * @throws {PolarisError} STACK_LOCKED, with the holder in `details`, if somebody else holds it
 * @throws {PolarisError} STATE_CORRUPT if the lock file cannot be understood, STATE_UNWRITABLE, CANCELLED
 */
export async function acquireStackLock(
  stackDir: string,
  options: AcquireStackLockOptions,
): Promise<() => Promise<void>> {
  const me = describeMe(options.command);
  const deadlineMs = performance.now() + (options.waitMs ?? 0);
  for (;;) {
    // Each time: who held it may have destroyed the stack, and its folder.
    await makeFolder(stackDir, 0o700);
    const other = await tryToHold(stackDir, me);
    if (other === undefined) return () => release(stackDir, me);
    const leftMs = deadlineMs - performance.now();
    if (leftMs <= 0) throw stackLocked(stackDir, other);
    try {
      await sleep(Math.min(WAIT_POLL_MS, leftMs), undefined, { signal: options.signal });
    } catch (cause) {
      throw new PolarisError("CANCELLED", "cancelled while waiting for the stack's lock", { cause });
    }
  }
}

/** Who holds the stack; undefined if nobody does. A dead holder is told too: `isHolderAlive` tells the difference. */
export async function readStackLock(stackDir: string): Promise<StackLockHolder | undefined> {
  let holder = await readHolder(lockFile(stackDir));
  for (let next = holder; next !== undefined; next = await readHolder(takeoverFile(stackDir, next.token))) {
    holder = next;
  }
  return holder;
}

/** True if the holder still works, as far as can be seen: of another machine's processes nothing is known. */
export function isHolderAlive(holder: StackLockHolder): boolean {
  return holder.host !== hostname() || isAlive(holder);
}

/**
 * Removes a lock by hand (`polaris unlock`).
 *
 * @param options.force  also that of a living process: only if it surely works on this stack no more
 * @returns who held it, for people; undefined if nobody did
 * @throws {PolarisError} STACK_LOCKED if the holder lives and `force` is not set
 */
export async function breakStackLock(
  stackDir: string,
  options: { readonly force: boolean },
): Promise<string | undefined> {
  let holder: StackLockHolder | undefined;
  try {
    holder = await readStackLock(stackDir);
  } catch (error) {
    if (!(error instanceof PolarisError) || error.code !== "STATE_CORRUPT") throw error;
    await removeLock(stackDir);
    return "a damaged lock file";
  }
  if (holder === undefined) return undefined;
  if (isHolderAlive(holder) && !options.force) throw stackLocked(stackDir, holder);
  await removeLock(stackDir);
  return describeHolder(holder);
}

/** Undefined if the stack is ours now, else who holds it. */
async function tryToHold(stackDir: string, me: StackLockHolder): Promise<StackLockHolder | undefined> {
  for (;;) {
    const holder = await readStackLock(stackDir);
    if (holder !== undefined && isHolderAlive(holder)) return holder;
    const place = holder === undefined ? lockFile(stackDir) : takeoverFile(stackDir, holder.token);
    if (!(await createFileAtomic(place, formatHolder(me), { durable: false }))) continue;
    if (holder === undefined) return undefined;
    if ((await readStackLock(stackDir))?.token === me.token) {
      await shortenChain(stackDir, me);
      return undefined;
    }
    // Somebody took it over, and has shortened the chain, while we looked: what we created is in nobody's way.
    await rm(place, { force: true });
  }
}

async function shortenChain(stackDir: string, me: StackLockHolder): Promise<void> {
  await writeFileAtomic(lockFile(stackDir), formatHolder(me), { durable: false });
  await removeTakeovers(stackDir);
}

async function release(stackDir: string, me: StackLockHolder): Promise<void> {
  // Not ours any more after `polaris unlock --force`, or gone with the folder.
  const holder = await readHolder(lockFile(stackDir)).catch(() => undefined);
  if (holder?.token === me.token) await remove(lockFile(stackDir));
}

async function removeLock(stackDir: string): Promise<void> {
  // Aside first: the name is free in one moment, and the takeovers of this lock mean nothing without it.
  const aside = join(stackDir, `lock.${randomBytes(6).toString("hex")}.broken`);
  try {
    await rename(lockFile(stackDir), aside);
  } catch (cause) {
    if (errnoOf(cause) !== "ENOENT") throw stateUnwritable(lockFile(stackDir), cause);
  }
  await remove(aside);
  await removeTakeovers(stackDir);
}

async function removeTakeovers(stackDir: string): Promise<void> {
  for (const name of await readdir(stackDir)) {
    if (/^lock\.[0-9a-f]+\.takeover$/.test(name)) await remove(join(stackDir, name));
  }
}

async function remove(path: string): Promise<void> {
  try {
    await rm(path, { force: true });
  } catch (cause) {
    throw stateUnwritable(path, cause);
  }
}

function lockFile(stackDir: string): string {
  return join(stackDir, "lock.json");
}

function takeoverFile(stackDir: string, token: string): string {
  return join(stackDir, `lock.${token}.takeover`);
}

function describeMe(command: string): StackLockHolder {
  return {
    token: randomBytes(12).toString("hex"),
    ...ownIdentity(),
    host: hostname(),
    user: userName(),
    command,
    since: new Date().toISOString(),
  };
}

/** A container may run under a user id that has no name. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? "unknown");
  }
}

function formatHolder(holder: StackLockHolder): string {
  return `${JSON.stringify({ version: 1, ...holder }, null, 2)}\n`;
}

async function readHolder(path: string): Promise<StackLockHolder | undefined> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") return undefined;
    throw lockCorrupt(path, cause);
  }
  if (!isHolder(value)) throw lockCorrupt(path, undefined);
  return value;
}

function isHolder(value: unknown): value is StackLockHolder {
  if (typeof value !== "object" || value === null) return false;
  const holder = value as Partial<Record<string, unknown>>;
  const texts = ["token", "startTime", "host", "user", "command", "since"];
  return (
    holder["version"] === 1 &&
    Number.isSafeInteger(holder["pid"]) &&
    texts.every((name) => typeof holder[name] === "string") &&
    /^[0-9a-f]+$/.test(String(holder["token"]))
  );
}

function lockCorrupt(path: string, cause: unknown): PolarisError {
  return new PolarisError("STATE_CORRUPT", `${path} is not a lock of polaris`, {
    hint: "if no other polaris command works on this stack, run: polaris unlock",
    details: { path },
    cause,
  });
}

function stackLocked(stackDir: string, holder: StackLockHolder): PolarisError {
  const stack = basename(stackDir);
  return new PolarisError("STACK_LOCKED", `stack ${stack} is locked by ${describeHolder(holder)}`, {
    hint:
      holder.host === hostname()
        ? "wait for it to end, or use --wait"
        : `if nothing works on it on ${holder.host} any more, run: polaris unlock --force`,
    details: {
      pid: holder.pid,
      host: holder.host,
      user: holder.user,
      command: holder.command,
      since: holder.since,
    },
  });
}

function describeHolder({ user, command, pid, host, since }: StackLockHolder): string {
  return `${user} (${command}, process ${pid} on ${host}) since ${since}`;
}
