import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { loadConfig } from "./config/load.ts";
import type { Config } from "./config/schema.ts";
import { loadLockFile } from "./lock-file/file.ts";
import type { DeployedStack, LockFile } from "./lock-file/schema.ts";
import type { StackStatus, Target, TargetName } from "./target.ts";

const CONFIG_FILE = "polaris.yaml";
const LOCK_FILE = "polaris.lock";
const DEFAULT_STACK = "default";

/** Which project and stack a command line means. */
export interface ProjectChoice {
  readonly config?: string;
  readonly stack?: string;
}

/** Where a stack is, known without reading polaris.yaml: a broken configuration must not keep anybody from destroying. */
export interface LocatedStack {
  readonly projectDir: string;
  readonly stack: string;
  readonly target: TargetName;
  readonly lockPath: string;
}

/** A project with its configuration read, for one stack. */
export interface Project extends LocatedStack {
  readonly config: Config;
}

export async function locateStack(cwd: string, choice: ProjectChoice): Promise<LocatedStack> {
  const configPath = resolve(cwd, choice.config ?? CONFIG_FILE);
  const projectDir = dirname(configPath);
  const stack = choice.stack ?? DEFAULT_STACK;
  if (!/^[a-z][a-z0-9-]{0,29}$/.test(stack)) {
    throw new PolarisError("USAGE_INVALID", `"${stack}" is no name of a stack`, {
      hint: "lower-case letters, digits and hyphens, a letter first, 30 at most",
    });
  }
  if (!existsSync(projectDir)) {
    throw new PolarisError("USAGE_INVALID", `there is no folder ${projectDir}`, {
      hint: "name the project's with -C",
    });
  }
  return { projectDir, stack, target: "local", lockPath: join(projectDir, LOCK_FILE) };
}

export async function openProject(cwd: string, choice: ProjectChoice): Promise<Project> {
  const { config, stack, projectDir } = await loadConfig({
    cwd,
    ...(choice.config === undefined ? {} : { file: choice.config }),
    ...(choice.stack === undefined ? {} : { stack: choice.stack }),
  });
  if (config.target !== "local") {
    throw new PolarisError(
      "TARGET_NOT_AVAILABLE",
      `nothing can be deployed to ${config.target} in this version`,
      {
        hint: "use target: local",
      },
    );
  }
  return { config, stack, projectDir, target: config.target, lockPath: join(projectDir, LOCK_FILE) };
}

/** The project's polaris.lock, if there is one. @throws {PolarisError} LOCK_FILE_CORRUPT */
export async function loadLock(location: LocatedStack): Promise<LockFile | undefined> {
  return loadLockFile(location.lockPath);
}

/** The lock file that a verification takes its expectations from. */
export async function loadExpectationLock(
  location: LocatedStack,
  file: string | undefined,
): Promise<LockFile> {
  const path = file === undefined ? location.lockPath : resolve(file);
  const lockFile = await loadLockFile(path);
  if (lockFile === undefined) {
    throw new PolarisError(
      "EXPECTATIONS_MISSING",
      `no ${path}: nothing says what to expect of the endpoint`,
      {
        hint: "deploy first, or get polaris.lock from whoever deployed and name it with --lock",
      },
    );
  }
  return lockFile;
}

/** A stack that is there, with its status; STACK_NOT_FOUND otherwise. */
export async function requireStack(
  cwd: string,
  choice: ProjectChoice,
  loadTarget: (name: TargetName) => Promise<Target>,
): Promise<{
  location: LocatedStack;
  target: Target;
  status: StackStatus;
  deployed: DeployedStack | undefined;
}> {
  const location = await locateStack(cwd, choice);
  const target = await loadTarget(location.target);
  const status = await target.status(location);
  if (status === undefined) {
    const key = await target.findKey(location);
    throw new PolarisError(
      "STACK_NOT_FOUND",
      `stack "${location.stack}" is not deployed in ${location.projectDir}`,
      {
        hint:
          key !== undefined
            ? `its key is kept in ${key.where}; polaris deploy uses it again`
            : existsSync(resolve(cwd, choice.config ?? CONFIG_FILE))
              ? "polaris deploy deploys it"
              : "no polaris.yaml here: go to the project's folder, or name it with -C",
      },
    );
  }
  const lockFile = await loadLockFile(location.lockPath);
  return { location, target, status, deployed: lockFile?.deployed[location.stack] };
}
