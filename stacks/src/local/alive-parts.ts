import { findMarkedProcesses } from "./supervisor/marked-processes.ts";
import { canonicalStackDir, observe } from "./supervisor/observe.ts";
import type { PartName } from "./supervisor/part-spec.ts";

/** The parts of a stack of which any process lives, with the ids of those processes. */
export type AliveParts = ReadonlyMap<string, ReadonlySet<number>>;

/**
 * Looks at records and at marks: a record tells of processes where marks cannot be seen, a mark of processes whose record
 * is lost. Whatever runs is the stack's, be it wanted or not.
 */
export async function findAliveParts(stackDir: string): Promise<AliveParts> {
  const alive = new Map<PartName, Set<number>>();
  const add = (part: PartName, pid: number | undefined): void => {
    const pids = alive.get(part) ?? new Set();
    if (pid !== undefined) pids.add(pid);
    alive.set(part, pids);
  };
  for (const part of await observe(stackDir)) {
    const isAlive =
      part.state === "starting" ||
      part.state === "running" ||
      (part.state === "runner-lost" && part.childAlive);
    if (isAlive) add(part.part, part.record.child?.pid);
  }
  for (const { part, identity } of findMarkedProcesses(await canonicalStackDir(stackDir)))
    add(part, identity.pid);
  return alive;
}
