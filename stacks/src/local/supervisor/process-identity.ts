import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { errnoOf } from "../../atomic-file.ts";

/**
 * One process, for all time: the operating system gives a pid again, but never with the same start time.
 * `startTime` is opaque: compare it, do not read it. It contains the boot, because pids begin anew with each.
 */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: string;
}

/** How often to look whether a process is gone, in milliseconds: only a parent is told. */
const POLL_MS = 20;

/** How long a process may take to vanish after SIGKILL (it may sit in the kernel, writing), in milliseconds. */
const KILL_WAIT_MS = 5_000;

/** The identity of a living process; undefined if there is none of that pid, or only a zombie of it. */
export function readIdentity(pid: number): ProcessIdentity | undefined {
  // kill(2) gives 0 and negative numbers other meanings.
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  const startTime = hasProcFolder() ? startTimeFromProc(pid) : startTimeFromPs(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

/** The identity of this process. */
export function ownIdentity(): ProcessIdentity {
  const identity = readIdentity(process.pid);
  if (identity === undefined) throw new Error("this process does not find itself");
  return identity;
}

/** True while exactly this process runs; false if it ended, is a zombie, or its pid belongs to a stranger by now. */
export function isAlive(identity: ProcessIdentity): boolean {
  return readIdentity(identity.pid)?.startTime === identity.startTime;
}

/**
 * Sends one signal, if it is still this very process; looks right before, so that a stranger is never touched.
 *
 * @param group  send it to the whole process group that this process leads
 * @returns false if the process is gone
 */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals, group = false): boolean {
  if (!isAlive(identity)) return false;
  try {
    process.kill(group ? -identity.pid : identity.pid, signal);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ESRCH") return false;
    throw error;
  }
}

export interface TerminateOptions {
  /** Time between SIGTERM and SIGKILL, in milliseconds. */
  readonly graceMs: number;
  /** Signal the whole process group that this process leads. */
  readonly group?: boolean;
  /** Stops the waiting, not the process: rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Ends one process: SIGTERM, `graceMs` to end, SIGKILL. Never a stranger that has its pid by now.
 *
 * @returns false if it is still there after SIGKILL
 */
export async function terminate(identity: ProcessIdentity, options: TerminateOptions): Promise<boolean> {
  if (!signalProcess(identity, "SIGTERM", options.group)) return true;
  if (await waitForEnd(identity, options.graceMs, options.signal)) return true;
  signalProcess(identity, "SIGKILL", options.group);
  return waitForEnd(identity, KILL_WAIT_MS, options.signal);
}

/** @returns true as soon as the process is gone, false if it is still there after `timeoutMs` */
export async function waitForEnd(
  identity: ProcessIdentity,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const deadlineMs = performance.now() + timeoutMs;
  while (isAlive(identity)) {
    if (performance.now() >= deadlineMs) return false;
    await sleep(POLL_MS, undefined, { signal });
  }
  return true;
}

let procFolder: boolean | undefined;

function hasProcFolder(): boolean {
  procFolder ??= process.platform === "linux" && existsSync("/proc/self/stat");
  return procFolder;
}

let bootId: string | undefined;

function startTimeFromProc(pid: number): string | undefined {
  const stat = readProcStat(pid);
  if (stat === undefined || stat.state === "Z" || stat.state === "X") return undefined;
  bootId ??= readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  return `${bootId}/${stat.startTicks}`;
}

function readProcStat(pid: number): { state: string; startTicks: string } | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return undefined;
  }
  // proc_pid_stat(5). The second field is the program's name in parentheses and may contain both spaces and parentheses.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const state = fields[0];
  const startTicks = fields[22 - 3];
  return state === undefined || startTicks === undefined ? undefined : { state, startTicks };
}

/** Where there is no /proc (macOS): ps(1), whose start time has a resolution of one second. */
export function startTimeFromPs(pid: number): string | undefined {
  let line: string;
  try {
    line = execFileSync("/bin/ps", ["-o", "state=,lstart=", "-p", String(pid)], {
      encoding: "utf8",
      // Without these the same moment would be written differently in another shell.
      env: { LC_ALL: "C", TZ: "UTC" },
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return undefined;
  }
  const [state, ...startTime] = line.split(/\s+/);
  if (state === undefined || state.startsWith("Z") || startTime.length === 0) return undefined;
  return startTime.join(" ");
}
