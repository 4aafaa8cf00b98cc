import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../../atomic-file.ts";
import type { PartName, PartSpec } from "./part-spec.ts";
import { specDigest } from "./part-spec.ts";
import type { ProcessIdentity } from "./process-identity.ts";

/**
 * The two files by which commands and part runners agree, without a daemon, that nothing runs twice or unknown:
 *
 * - `run/<part>.spec.json`, the wanted launch. Written and removed by commands only (one at a time: the stack lock).
 * - `run/<part>.json`, the record. Created exclusively by the runner before it does anything else, rewritten by that
 *   runner, removed by commands only, and only when the processes in it are dead.
 *
 * To start, a command writes the spec with a new launch id and spawns a runner. The runner registers, then reads the spec
 * again, and starts nothing if that does not name its launch any more. To stop, a command first removes the spec, then
 * reads the record. So a runner that is late, because its command was killed, either has registered before that reading
 * and is found, or registers after it and then misses its spec. As only commands remove a record, and only one of dead
 * processes, a record never vanishes under the runner that it belongs to, and two runners never have one part.
 */
export interface LaunchFiles {
  readonly spec: string;
  readonly record: string;
  /** What the part writes. */
  readonly log: string;
  /** What the runner itself writes: nothing, unless it crashes. */
  readonly runnerLog: string;
}

export function launchFiles(stackDir: string, part: PartName): LaunchFiles {
  return {
    spec: join(stackDir, "run", `${part}.spec.json`),
    record: join(stackDir, "run", `${part}.json`),
    log: join(stackDir, "logs", `${part}.log`),
    runnerLog: join(stackDir, "logs", `${part}.runner.log`),
  };
}

/** One wanted launch of a part. */
export interface Launch {
  readonly launchId: string;
  readonly specDigest: string;
  readonly spec: PartSpec;
}

/** What a runner tells about its launch. */
export interface PartRecord {
  readonly part: PartName;
  readonly launchId: string;
  readonly specDigest: string;
  /** The stack's folder when it was started: tells a copied folder from the original. */
  readonly stackDir: string;
  readonly graceMs: number;
  readonly startedAt: string;
  /** Where this launch begins in the log: the file, and the offset in it. */
  readonly logStart: { readonly inode: number; readonly offset: number };
  readonly runner: ProcessIdentity;
  /** Absent until the command is started, and if it cannot be or ends at once. It leads a process group of its own. */
  readonly child?: ProcessIdentity;
  readonly exit?: PartExit;
}

export interface PartExit {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly at: string;
  /** True if the runner was told to end it. */
  readonly requested: boolean;
  /** Why the command could not be started at all. */
  readonly error?: string;
}

/** The environment variables by which every process of a stack can be found, whatever became of its record. */
export const LAUNCH_ID_VARIABLE = "POLARIS_LAUNCH_ID";
export const LAUNCH_DIR_VARIABLE = "POLARIS_LAUNCH_DIR";

/** Secrets have this before their name on the way to the runner, so that none of them changes how the runner behaves. */
export const SECRET_VARIABLE_PREFIX = "POLARIS_SECRET_";

export function createLaunch(spec: PartSpec): Launch {
  return { launchId: `${spec.name}.${randomBytes(8).toString("hex")}`, specDigest: specDigest(spec), spec };
}

export function formatLaunch(launch: Launch): string {
  return `${JSON.stringify({ version: 1, ...launch }, null, 2)}\n`;
}

export function formatRecord(record: PartRecord): string {
  return `${JSON.stringify({ version: 1, ...record }, null, 2)}\n`;
}

/** What was found where a file of ours should be. */
export type Found<T> =
  | { readonly is: "absent" }
  | { readonly is: "corrupted"; readonly reason: string }
  | { readonly is: "valid"; readonly value: T };

export async function readLaunch(path: string): Promise<Found<Launch>> {
  return readJson(path, isLaunch);
}

export async function readRecord(path: string): Promise<Found<PartRecord>> {
  return readJson(path, isRecord);
}

/**
 * True if this record came here with a copy of the folder: its processes belong to the original, which is still there
 * with the same record. (If the original is gone, the folder was moved, and the processes are ours.)
 */
export function isCopied(record: PartRecord, stackDir: string): boolean {
  return record.stackDir !== stackDir && existsSync(launchFiles(record.stackDir, record.part).record);
}

async function readJson<T>(path: string, isValid: (value: unknown) => value is T): Promise<Found<T>> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno === "ENOENT") return { is: "absent" };
    return {
      is: "corrupted",
      reason: errno === undefined ? `${path} is not JSON` : `cannot read ${path}: ${errno}`,
    };
  }
  return isValid(value)
    ? { is: "valid", value }
    : { is: "corrupted", reason: `${path} has not the expected form` };
}

// By hand and not by a schema library: the runner reads them, and a library would double its start-up time.

function isLaunch(value: unknown): value is Launch {
  return (
    isObject(value) &&
    value["version"] === 1 &&
    isString(value["launchId"]) &&
    isString(value["specDigest"]) &&
    isSpec(value["spec"])
  );
}

function isSpec(value: unknown): value is PartSpec {
  return (
    isObject(value) &&
    isString(value["name"]) &&
    Array.isArray(value["command"]) &&
    value["command"].length > 0 &&
    value["command"].every(isString) &&
    isString(value["cwd"]) &&
    isObject(value["env"]) &&
    Object.values(value["env"]).every(isString) &&
    Array.isArray(value["probes"]) &&
    value["probes"].every(isObject) &&
    isNumber(value["readyTimeoutMs"])
  );
}

function isRecord(value: unknown): value is PartRecord {
  return (
    isObject(value) &&
    value["version"] === 1 &&
    isString(value["part"]) &&
    isString(value["launchId"]) &&
    isString(value["specDigest"]) &&
    isString(value["stackDir"]) &&
    isNumber(value["graceMs"]) &&
    isString(value["startedAt"]) &&
    isObject(value["logStart"]) &&
    isNumber(value["logStart"]["inode"]) &&
    isNumber(value["logStart"]["offset"]) &&
    isIdentity(value["runner"]) &&
    (value["child"] === undefined || isIdentity(value["child"])) &&
    (value["exit"] === undefined || isExit(value["exit"]))
  );
}

function isExit(value: unknown): value is PartExit {
  return (
    isObject(value) &&
    (value["exitCode"] === null || isNumber(value["exitCode"])) &&
    (value["signal"] === null || isString(value["signal"])) &&
    isString(value["at"]) &&
    typeof value["requested"] === "boolean" &&
    (value["error"] === undefined || isString(value["error"]))
  );
}

/** Shape of {@link ProcessIdentity}; a pid that kill(2) would take for "everybody" is none. */
export function isIdentity(value: unknown): value is ProcessIdentity {
  return (
    isObject(value) &&
    isNumber(value["pid"]) &&
    Number.isSafeInteger(value["pid"]) &&
    value["pid"] > 1 &&
    isString(value["startTime"])
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isString(value: unknown): value is string {
  return typeof value === "string";
}

function isNumber(value: unknown): value is number {
  return typeof value === "number";
}
