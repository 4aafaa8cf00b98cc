import { execFile } from "node:child_process";
import { readdir, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, isAbsolute, join, resolve } from "node:path";
import { promisify } from "node:util";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import {
  ENGINE_VERSION,
  MINIMUM_ENGINE_VERSION,
  compareVersions,
  isUsableVersion,
  parseEngineVersion,
} from "./engine-version.ts";

/** A `pulumi` that can be used. */
export interface Engine {
  /** Absolute path of the program. */
  readonly path: string;
  /** For instance `3.259.0`. */
  readonly version: string;
}

export interface EngineSearch {
  /** What the user names (`--pulumi`): the program, or a folder that has it or has `bin/pulumi`. */
  readonly chosen?: string;
  /** PATH of the user; "" for none. */
  readonly searchPath: string;
  /** Pulumi's folder of the user: `~/.pulumi`, or PULUMI_HOME. */
  readonly pulumiHome: string;
}

/** The program answers in 0.2 s; a disk that has to wake up may take longer. */
const VERSION_TIMEOUT_MS = 20_000;

/** Where an engine of a version lies below Pulumi's folder, for Pulumi's own installer, for npm's and for us. */
export function engineRoot(pulumiHome: string, version: string): string {
  return join(pulumiHome, "versions", version);
}

/**
 * The engine to use: what the user names, else the one in PATH, else the newest below `~/.pulumi/versions`.
 *
 * @returns undefined if there is none, or none that is new enough
 * @throws {PolarisError} ENGINE_MISSING if the user names something that is no usable engine: another one is not what was asked for
 */
export async function findEngine(search: EngineSearch): Promise<Engine | undefined> {
  if (search.chosen !== undefined) return openChosenEngine(search.chosen, search.searchPath);
  for (const path of await listCandidates(search)) {
    const version = await askVersion(path, search.searchPath);
    if (version !== undefined && isUsableVersion(version)) return { path, version };
  }
  return undefined;
}

/**
 * The engine to use, installed if there is none and the user agrees.
 *
 * @param install  given with the user's consent; it needs the network
 * @throws {PolarisError} ENGINE_MISSING
 */
export async function requireEngine(
  search: EngineSearch,
  install?: (pulumiHome: string) => Promise<Engine>,
): Promise<Engine> {
  const engine = await findEngine(search);
  if (engine !== undefined) return engine;
  if (install !== undefined) return install(search.pulumiHome);
  throw new PolarisError(
    "ENGINE_MISSING",
    `no pulumi ${MINIMUM_ENGINE_VERSION} or newer in PATH or in ${join(search.pulumiHome, "versions")}`,
    { hint: `agree to its installation (--yes; ${ENGINE_VERSION}), or name one with --pulumi` },
  );
}

async function openChosenEngine(chosen: string, searchPath: string): Promise<Engine> {
  const isFolder = await stat(chosen).then(
    (found) => found.isDirectory(),
    () => false,
  );
  const paths = isFolder ? [join(chosen, "bin", "pulumi"), join(chosen, "pulumi")] : [chosen];
  for (const path of paths) {
    const version = await askVersion(resolve(path), searchPath);
    if (version === undefined) continue;
    if (isUsableVersion(version)) return { path: resolve(path), version };
    throw new PolarisError(
      "ENGINE_MISSING",
      `${path} is pulumi ${version}, expected ${MINIMUM_ENGINE_VERSION} or newer of the same major version`,
      { hint: "update it, or leave out --pulumi" },
    );
  }
  throw new PolarisError("ENGINE_MISSING", `there is no pulumi program at ${chosen}`, {
    hint: "name the program, or the folder that has it, with --pulumi",
  });
}

async function listCandidates({ searchPath, pulumiHome }: EngineSearch): Promise<string[]> {
  const folders = searchPath.split(delimiter).filter((folder) => isAbsolute(folder));
  const names = await readdir(join(pulumiHome, "versions")).catch((): string[] => []);
  const versions = names.filter((name) => parseEngineVersion(name) === name);
  return [
    ...folders.map((folder) => join(folder, "pulumi")),
    ...versions
      .sort((a, b) => compareVersions(b, a))
      .map((version) => join(engineRoot(pulumiHome, version), "bin", "pulumi")),
  ];
}

/** Undefined if there is no program, or it is no pulumi. */
async function askVersion(path: string, searchPath: string): Promise<string | undefined> {
  // Version managers put a script in PATH that wants these two; nothing else of the user's is a stranger's to have.
  const env = { PATH: searchPath, HOME: homedir(), PULUMI_SKIP_UPDATE_CHECK: "true" };
  try {
    const { stdout } = await promisify(execFile)(path, ["version"], {
      env,
      timeout: VERSION_TIMEOUT_MS,
      killSignal: "SIGKILL",
      maxBuffer: 64 * 1024,
    });
    return parseEngineVersion(stdout);
  } catch {
    // Whatever it failed with, it is not the engine that is looked for.
    return undefined;
  }
}

/** Pulumi's folder of the user: engines, provider plugins and logins. */
export function pulumiHomeOf(environment: Readonly<Record<string, string | undefined>>): string {
  return environment["PULUMI_HOME"] || join(environment["HOME"] || homedir(), ".pulumi");
}
