import { readFileSync, readdirSync } from "node:fs";
import { LAUNCH_DIR_VARIABLE, LAUNCH_ID_VARIABLE } from "./launch-files.ts";
import type { PartName } from "./part-spec.ts";
import { PART_NAMES } from "./part-spec.ts";
import { readIdentity } from "./process-identity.ts";
import type { ProcessIdentity } from "./process-identity.ts";

export interface MarkedProcess {
  readonly identity: ProcessIdentity;
  readonly part: PartName;
  readonly launchId: string;
}

/**
 * All processes that carry a stack's mark in their environment: runners, parts, and what those started. The second net,
 * for what records miss: a child of a runner that was killed before it could write, a daemon that left its group, a
 * stack whose folder was removed by hand.
 *
 * Only on Linux: macOS shows the environment of processes not reliably (never of those under its system protection), so
 * there records are the only net.
 */
export function findMarkedProcesses(stackDir: string): MarkedProcess[] {
  if (process.platform !== "linux") return [];
  const found: MarkedProcess[] = [];
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    // Identity first: if the pid changes hands in between, it fits nobody, and the signal is not sent.
    const identity = readIdentity(pid);
    if (identity === undefined) continue;
    const variables = readEnvironment(pid);
    if (!variables.includes(`${LAUNCH_DIR_VARIABLE}=${stackDir}`)) continue;
    const launchId = variables.find((entry) => entry.startsWith(`${LAUNCH_ID_VARIABLE}=`));
    const id = launchId?.slice(LAUNCH_ID_VARIABLE.length + 1) ?? "";
    const part = PART_NAMES.find((part) => id.startsWith(`${part}.`));
    if (part !== undefined) found.push({ identity, part, launchId: id });
  }
  return found;
}

/** The environment that a process was started with; empty for other users' processes and those that just ended. */
function readEnvironment(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
  } catch {
    return [];
  }
}
