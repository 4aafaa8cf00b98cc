import { realpath } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { errnoOf } from "../../atomic-file.ts";
import { isCopied, launchFiles, readLaunch, readRecord } from "./launch-files.ts";
import type { Launch, PartExit, PartRecord } from "./launch-files.ts";
import { PART_NAMES } from "./part-spec.ts";
import type { PartName } from "./part-spec.ts";
import { isAlive } from "./process-identity.ts";

/**
 * What is there of one part:
 *
 * - `absent`: nothing.
 * - `launched`: a runner was about to be started; whether one comes is unknown.
 * - `starting`: the runner is there, the command not yet.
 * - `running`: runner and command are alive (ready or not: that is for its probes to say).
 * - `exited`: the command ended, or could not be started (`exit.error`).
 * - `runner-lost`: the runner is dead and could not tell; the command may live (`childAlive`) but nobody keeps its log.
 * - `corrupted`: a file of ours is damaged or of another stack, so what runs is unknown.
 */
export type ObservedPart = { readonly part: PartName } & (
  | { readonly state: "absent" }
  | { readonly state: "launched"; readonly launch: Launch }
  | {
      readonly state: "starting" | "running";
      readonly launch: Launch | undefined;
      readonly record: PartRecord;
    }
  | {
      readonly state: "exited";
      readonly launch: Launch | undefined;
      readonly record: PartRecord;
      readonly exit: PartExit;
    }
  | {
      readonly state: "runner-lost";
      readonly launch: Launch | undefined;
      readonly record: PartRecord;
      readonly childAlive: boolean;
    }
  | { readonly state: "corrupted"; readonly reason: string }
);
// `launch` is undefined where the spec does not (any more) name what the record is about: an end of it was begun.

/** Between the end of a command and the runner's record of it, in milliseconds: the runner still empties the pipes. */
const RECORD_WAIT_MS = 600;

/** Looks at all parts of a stack, in start order. Changes nothing and needs no lock. */
export async function observe(stackDir: string): Promise<ObservedPart[]> {
  const folder = await canonicalStackDir(stackDir);
  return Promise.all(PART_NAMES.map((part) => observePart(folder, part)));
}

/** A stack's folder has many names (links, relative paths); its processes carry this one. */
export async function canonicalStackDir(stackDir: string): Promise<string> {
  try {
    return await realpath(stackDir);
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno === "ENOENT") return stackDir;
    throw new PolarisError("STATE_CORRUPT", `cannot read ${stackDir}: ${errno ?? "unknown reason"}`, {
      cause,
    });
  }
}

async function observePart(stackDir: string, part: PartName): Promise<ObservedPart> {
  const deadlineMs = performance.now() + RECORD_WAIT_MS;
  for (;;) {
    const observed = await observeOnce(stackDir, part);
    if (observed !== "about-to-record") return observed;
    if (performance.now() >= deadlineMs)
      return { part, state: "corrupted", reason: "its runner does not go on" };
    await sleep(20);
  }
}

async function observeOnce(stackDir: string, part: PartName): Promise<ObservedPart | "about-to-record"> {
  const files = launchFiles(stackDir, part);
  // The record last: an end removes the spec first, so whoever sees spec and record together sees a launch that is wanted.
  const wanted = await readLaunch(files.spec);
  const found = await readRecord(files.record);
  if (found.is === "corrupted") return { part, state: "corrupted", reason: found.reason };
  if (found.is === "absent") {
    if (wanted.is === "absent") return { part, state: "absent" };
    if (wanted.is === "corrupted") return { part, state: "corrupted", reason: wanted.reason };
    return { part, state: "launched", launch: wanted.value };
  }

  const record = found.value;
  if (record.part !== part)
    return { part, state: "corrupted", reason: `${files.record} is about ${record.part}` };
  if (isCopied(record, stackDir)) {
    return { part, state: "corrupted", reason: `${files.record} was copied from ${record.stackDir}` };
  }
  const isWanted = wanted.is === "valid" && wanted.value.launchId === record.launchId;
  const launch = isWanted ? wanted.value : undefined;
  if (record.exit !== undefined) return { part, state: "exited", launch, record, exit: record.exit };

  const childAlive = record.child !== undefined && isAlive(record.child);
  if (isAlive(record.runner)) {
    if (record.child === undefined) return { part, state: "starting", launch, record };
    return childAlive ? { part, state: "running", launch, record } : "about-to-record";
  }
  // It may have written its last record after we read the file, and before we looked for it.
  const again = await readRecord(files.record);
  if (again.is === "valid" && again.value.launchId === record.launchId && again.value.exit !== undefined) {
    return { part, state: "exited", launch, record: again.value, exit: again.value.exit };
  }
  return { part, state: "runner-lost", launch, record, childAlive };
}
