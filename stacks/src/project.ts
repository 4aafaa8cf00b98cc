import { randomInt } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { loadConfig } from "./config/load.ts";
import type { Config } from "./config/schema.ts";
import { compareStackLock } from "./lock-file/compare.ts";
import type { LockChange } from "./lock-file/compare.ts";
import { createStackLock, updateStackLock } from "./lock-file/create.ts";
import { loadLockFile, saveLockFile } from "./lock-file/file.ts";
import type { DeployedStack, LockFile, StackLock } from "./lock-file/schema.ts";
import { hashWorkloadFiles } from "./lock-file/workload-files.ts";
import { createHomeFolder } from "./local/home-folder.ts";
import { acquireStackLock } from "./local/stack-lock.ts";
import { planKeyPolicy } from "./plan.ts";
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

/** What polaris.lock says, or would say, for a stack. */
export interface LockedStack {
  readonly stackLock: StackLock;
  /** What the lock on disk does not say yet. */
  readonly changes: readonly LockChange[];
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
  return { config, stack, projectDir, target: config.target, lockPath: join(projectDir, LOCK_FILE) };
}

/**
 * Compares polaris.lock with what the configuration and the workload's files say now. Writes nothing.
 * With `frozen`, a difference is LOCK_FILE_STALE: what is deployed has to be what was committed.
 */
export async function lockStack(
  project: Project,
  options: { readonly frozen: boolean },
): Promise<LockedStack> {
  const { config, stack, lockPath, projectDir } = project;
  const existing = await loadLockFile(lockPath);
  if (existing !== undefined && existing.name !== config.name) {
    throw new PolarisError(
      "LOCK_FILE_STALE",
      `${lockPath} belongs to "${existing.name}", polaris.yaml to "${config.name}"`,
      {
        hint: "give the project its old name back and destroy its stacks; a key that is kept belongs to the old polaris.lock",
      },
    );
  }
  const run = config.targets.local.run ?? [];
  const workload = {
    kind: "process" as const,
    run: [...run],
    files: await hashWorkloadFiles({
      projectDir,
      ...(config.targets.local.files === undefined ? {} : { files: config.targets.local.files }),
    }),
  };
  const before = existing?.stacks[stack];
  const named =
    before ??
    createStackLock({ name: config.name, stack, target: config.target, random: (below) => randomInt(below) });
  const policy = planKeyPolicy(named);
  const stackLock = updateStackLock(named, { workload, condition: policy.condition });
  const changes = compareStackLock(before, stackLock);
  if (options.frozen && changes.length > 0) {
    throw new PolarisError("LOCK_FILE_STALE", `${lockPath} does not say what would be deployed`, {
      hint: 'run "polaris lock", look at the difference and commit it',
      details: { changes },
    });
  }
  return { stackLock, changes };
}

/**
 * Writes a stack into polaris.lock; with `deployed`, also what only the control plane knows of the deployment. Other stacks
 * stay as they are in the file by now: two stacks may be deployed at once.
 *
 * @throws {PolarisError} LOCK_FILE_STALE if another command has drawn other names for this stack meanwhile
 */
export async function saveLock(
  project: Project,
  locked: LockedStack,
  deployed?: DeployedStack,
): Promise<LockFile> {
  const { stackLock } = locked;
  return changeLockFile(project, (current): LockFile => {
    const theirs = current?.stacks[project.stack];
    if (theirs !== undefined && theirs.suffix !== stackLock.suffix) {
      throw new PolarisError(
        "LOCK_FILE_STALE",
        `another command has written other names into ${project.lockPath}`,
        {
          hint: "run this command again: it takes the names that are there now",
        },
      );
    }
    return {
      version: 1,
      name: project.config.name,
      stacks: { ...current?.stacks, [project.stack]: stackLock },
      deployed: { ...current?.deployed, ...(deployed === undefined ? {} : { [project.stack]: deployed }) },
    };
  });
}

/** Takes a destroyed stack out of polaris.lock; its names stay as long as its key does. */
export async function forgetDeployment(
  location: LocatedStack,
  options: { readonly forgetNames: boolean },
): Promise<void> {
  await changeLockFile(location, (current) => {
    if (current === undefined) return undefined;
    const deployed = { ...current.deployed };
    const stacks = { ...current.stacks };
    delete deployed[location.stack];
    if (options.forgetNames) delete stacks[location.stack];
    return { ...current, stacks, deployed };
  });
}

/** How long a command waits for another one that is writing polaris.lock, in milliseconds: that takes no time. */
const LOCK_FILE_WAIT_MS = 10_000;

/** Reads, changes and writes polaris.lock as the only one that does; writes nothing if `change` gives nothing. */
async function changeLockFile<T extends LockFile | undefined>(
  { projectDir, lockPath }: LocatedStack,
  change: (current: LockFile | undefined) => T,
): Promise<T> {
  const home = join(projectDir, ".polaris");
  await createHomeFolder(home);
  const release = await acquireStackLock(home, {
    command: "writing polaris.lock",
    waitMs: LOCK_FILE_WAIT_MS,
  });
  try {
    const lockFile = change(await loadLockFile(lockPath));
    if (lockFile !== undefined) await saveLockFile(lockPath, lockFile);
    return lockFile;
  } finally {
    await release();
  }
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
            : existsSync(join(location.projectDir, choice.config ?? CONFIG_FILE))
              ? "polaris deploy deploys it"
              : "no polaris.yaml here: go to the project's folder, or name it with -C",
      },
    );
  }
  const lockFile = await loadLockFile(location.lockPath);
  return { location, target, status, deployed: lockFile?.deployed[location.stack] };
}
