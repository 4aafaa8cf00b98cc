/** Writing into polaris.lock: one command at a time, and nothing over what another has written. */
import { join } from "node:path";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { LockedStack } from "./lock-stack.ts";
import { formatCanonicalJson } from "./lock-file/canonical-json.ts";
import { loadLockFile, saveLockFile } from "./lock-file/file.ts";
import type { DeployedStack, ImagePin, LockFile, StackLock } from "./lock-file/schema.ts";
import { createHomeFolder } from "./local/home-folder.ts";
import { acquireStackLock } from "./local/stack-lock.ts";
import type { LocatedStack, Project } from "./project.ts";

/**
 * Writes a stack into polaris.lock. Other stacks stay as they are in the file by now: two stacks may be deployed at once.
 *
 * @throws {PolarisError} LOCK_FILE_STALE if another command has written something else of this stack, or of these pins, since
 *   the lock was read
 */
export async function saveLock(project: Project, locked: LockedStack): Promise<void> {
  const { stackLock, pins, before } = locked;
  await changeLockFile(project, (current): LockFile => {
    requireUntouched(project, current?.stacks[project.stack], before.stackLock, stackLock);
    for (const [name, pin] of Object.entries(pins)) {
      requireUntouched(project, current?.pins?.[name], before.pins[name], pin);
    }
    return {
      version: 1,
      name: project.config.name,
      stacks: { ...current?.stacks, [project.stack]: stackLock },
      deployed: { ...current?.deployed },
      ...mergePins(current, pins),
    };
  });
}

/**
 * Writes down what the control plane said of a deployment. It runs by now, so that nothing is refused here: if another
 * command has locked something newer meanwhile, that stays, and the lock is ahead of what runs. Only an entry that is gone
 * comes back: without its names nobody finds or verifies the stack.
 *
 * @param locked  as it was deployed, and written by {@link saveLock} before
 * @returns what to verify the deployment against: the stack as it was deployed, whatever the file says by now
 * @throws {PolarisError} LOCK_FILE_CORRUPT if the file cannot be read any more, and what writing it throws
 */
export async function recordDeployment(
  project: Project,
  { stackLock }: LockedStack,
  deployed: DeployedStack,
): Promise<LockFile> {
  const { stack } = project;
  const ofDeployment: LockFile = {
    version: 1,
    name: project.config.name,
    stacks: { [stack]: stackLock },
    deployed: { [stack]: deployed },
  };
  await changeLockFile(project, (current) => ({
    ...ofDeployment,
    ...current,
    stacks: { ...ofDeployment.stacks, ...current?.stacks },
    deployed: { ...current?.deployed, ...ofDeployment.deployed },
  }));
  return ofDeployment;
}

/** What two commands write alike at once is no conflict: two deploys of one stack say the same. */
function requireUntouched(
  { lockPath }: Project,
  current: StackLock | ImagePin | undefined,
  before: StackLock | ImagePin | undefined,
  next: StackLock | ImagePin,
): void {
  const now = formatCanonicalJson(current);
  if (now === formatCanonicalJson(before) || now === formatCanonicalJson(next)) return;
  throw new PolarisError("LOCK_FILE_STALE", `another command has changed ${lockPath} meanwhile`, {
    hint: "run this command again: it starts from what is there now",
  });
}

/** Absent as long as there are none: a lock without pins stays as it was written. */
function mergePins(
  current: Pick<LockFile, "pins"> | undefined,
  pins: Readonly<Record<string, ImagePin>>,
): Pick<LockFile, "pins"> {
  const merged = { ...current?.pins, ...pins };
  return Object.keys(merged).length === 0 ? {} : { pins: merged };
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
