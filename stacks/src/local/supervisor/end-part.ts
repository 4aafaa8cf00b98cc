import { rm } from "node:fs/promises";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { stateUnwritable } from "../../atomic-file.ts";
import { isCopied, launchFiles, readRecord } from "./launch-files.ts";
import { findMarkedProcesses } from "./marked-processes.ts";
import { DEFAULT_GRACE_MS } from "./part-spec.ts";
import type { PartName } from "./part-spec.ts";
import { terminate } from "./process-identity.ts";
import type { ProcessIdentity } from "./process-identity.ts";

/** What a runner needs on top of its command's grace, in milliseconds: to empty the pipes and to write the record. */
const RUNNER_GRACE_MS = 2_000;

/**
 * Ends whatever there is of a part and forgets it: afterwards no process of it lives, and none will start. For a command
 * that holds the stack lock; may be repeated at any point after being killed at any point.
 *
 * @throws {PolarisError} PART_FAILED if a process survives SIGKILL
 * @throws {PolarisError} STATE_UNWRITABLE if the part's files cannot be removed
 */
export async function endPart(stackDir: string, part: PartName, signal?: AbortSignal): Promise<void> {
  const files = launchFiles(stackDir, part);
  // First of all, so that a runner which registers after the next reading starts nothing (launch-files.ts).
  await remove(files.spec);
  const graceMs = await endRecorded(stackDir, part, signal);
  await endMarked(stackDir, (marked) => marked.part === part, graceMs, signal);
  await remove(files.record);
}

/**
 * Ends the processes with the stack's mark that no record knows, whichever part they are of. Does nothing where
 * processes cannot be found by their mark.
 */
export async function endStrays(stackDir: string, signal?: AbortSignal): Promise<void> {
  const known = new Set<string>();
  for (const part of new Set(findMarkedProcesses(stackDir).map((marked) => marked.part))) {
    const found = await readRecord(launchFiles(stackDir, part).record);
    if (found.is === "valid") known.add(found.value.launchId);
  }
  await endMarked(stackDir, ({ launchId }) => !known.has(launchId), DEFAULT_GRACE_MS, signal);
}

async function endRecorded(
  stackDir: string,
  part: PartName,
  signal: AbortSignal | undefined,
): Promise<number> {
  const { record } = launchFiles(stackDir, part);
  const found = await readRecord(record);
  if (found.is !== "valid" || isCopied(found.value, stackDir)) return DEFAULT_GRACE_MS;
  const { graceMs, runner } = found.value;
  await end(part, runner, graceMs + RUNNER_GRACE_MS, false, signal);
  // Again: it may have started the command in the meantime. Now that it is dead, the record does not change any more.
  const last = await readRecord(record);
  const child = last.is === "valid" ? last.value.child : undefined;
  if (child !== undefined) await end(part, child, graceMs, true, signal);
  return graceMs;
}

async function endMarked(
  stackDir: string,
  isMeant: (marked: { readonly part: PartName; readonly launchId: string }) => boolean,
  graceMs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  // Until there are none: one that is being ended may just start another.
  for (;;) {
    const marked = findMarkedProcesses(stackDir).filter(isMeant);
    if (marked.length === 0) return;
    await Promise.all(marked.map(({ part, identity }) => end(part, identity, graceMs, false, signal)));
  }
}

async function end(
  part: PartName,
  identity: ProcessIdentity,
  graceMs: number,
  group: boolean,
  signal: AbortSignal | undefined,
): Promise<void> {
  let ended: boolean;
  try {
    ended = await terminate(identity, { graceMs, group, signal });
  } catch (cause) {
    signal?.throwIfAborted();
    throw new PolarisError("PART_FAILED", `cannot end process ${identity.pid} of ${part}`, { cause });
  }
  if (ended) return;
  throw new PolarisError("PART_FAILED", `process ${identity.pid} of ${part} is still there after SIGKILL`, {
    hint: "it hangs in the operating system, often in a file system that does not answer",
    details: { part, pid: identity.pid },
  });
}

async function remove(path: string): Promise<void> {
  try {
    await rm(path, { force: true });
  } catch (cause) {
    throw stateUnwritable(path, cause);
  }
}
