import { randomInt } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseImageReference } from "@polaris-cvm/images/image-reference.ts";
import type { ResolvedImage } from "@polaris-cvm/images/resolve-image.ts";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { loadConfig } from "./config/load.ts";
import type { Config } from "./config/schema.ts";
import { selectWorkload } from "./config/select-workload.ts";
import { formatCanonicalJson } from "./lock-file/canonical-json.ts";
import { comparePins, compareStackLock } from "./lock-file/compare.ts";
import type { LockChange } from "./lock-file/compare.ts";
import { createStackLock, updateStackLock } from "./lock-file/create.ts";
import { loadLockFile, saveLockFile } from "./lock-file/file.ts";
import {
  canonicalReference,
  findLockedImage,
  imageNotLocked,
  lockImage,
  pinImage,
} from "./lock-file/locked-image.ts";
import type { ResolveImage } from "./lock-file/locked-image.ts";
import { PINNED_IMAGES, resolvePins } from "./lock-file/pinned-images.ts";
import type { PinName } from "./lock-file/pinned-images.ts";
import type {
  DeployedStack,
  ImagePin,
  LockedWorkload,
  LockFile,
  StackIdentity,
  StackLock,
} from "./lock-file/schema.ts";
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
  /** Pins that were resolved again. */
  readonly pins: Readonly<Record<string, ImagePin>>;
  /** What polaris.lock said of this stack and of pins when it was read. */
  readonly before: {
    readonly stackLock: StackLock | undefined;
    readonly pins: Readonly<Record<string, ImagePin>>;
  };
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

export interface LockOptions {
  /** A difference is LOCK_FILE_STALE: what is deployed has to be what was committed. */
  readonly frozen: boolean;
  /** Asks a registry what an image is. Absent: nobody is asked, and an image that is not locked is IMAGE_NOT_LOCKED. */
  readonly resolve?: ResolveImage;
  /** Asks also for images that are locked, and for all pins: tags may name other images now. */
  readonly update?: boolean;
}

/**
 * Compares polaris.lock with what the configuration, the workload's files and, where there is nothing locked, a registry
 * say now. Writes nothing.
 *
 * @throws {PolarisError} LOCK_FILE_STALE, IMAGE_NOT_LOCKED, and what `resolve` throws
 */
export async function lockStack(project: Project, options: LockOptions): Promise<LockedStack> {
  const { stack, lockPath } = project;
  const existing = await loadOwnLock(project);
  const before = existing?.stacks[stack];
  const named = before ?? drawStackLock(project);
  const workload = await lockWorkload(project, before?.workload, options);
  const stackLock = updateStackLock(named, { workload, condition: planKeyPolicy(named).condition });
  const pins =
    options.update === true && options.resolve !== undefined
      ? await resolvePins(existing?.pins ?? {}, options.resolve)
      : {};
  const pinsBefore = existing?.pins ?? {};
  const changes = [...compareStackLock(before, stackLock), ...comparePins(pinsBefore, pins)];
  if (options.frozen && changes.length > 0) {
    throw new PolarisError("LOCK_FILE_STALE", `${lockPath} does not say what would be deployed`, {
      hint: 'run "polaris lock", look at the difference and commit it',
      details: { changes },
    });
  }
  return { stackLock, pins, before: { stackLock: before, pins: pinsBefore }, changes };
}

/** What `polaris lock` would change, as far as that is known without asking a registry. Writes nothing. */
export async function checkLock(project: Project): Promise<readonly LockChange[]> {
  const { image } = selectWorkload(project.config);
  const before = (await loadOwnLock(project))?.stacks[project.stack];
  if (image === undefined || findLockedImage(image, before?.workload) !== undefined) {
    return (await lockStack(project, { frozen: false })).changes;
  }
  return [
    {
      field: "workload.reference",
      from: before?.workload.kind === "image" ? before.workload.reference : undefined,
      to: canonicalReference(image),
      reason: "its digest is what polaris lock asks the registry for",
    },
  ];
}

async function loadOwnLock({ config, lockPath }: Project): Promise<LockFile | undefined> {
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
  return existing;
}

function drawStackLock({ config, stack }: Project): StackIdentity {
  return createStackLock({
    name: config.name,
    stack,
    target: config.target,
    random: (below) => randomInt(below),
  });
}

async function lockWorkload(
  { config, projectDir, lockPath }: Project,
  before: LockedWorkload | undefined,
  { resolve, update }: LockOptions,
): Promise<LockedWorkload> {
  const { image, run } = selectWorkload(config);
  if (image === undefined) {
    const { files } = config.targets.local;
    return {
      kind: "process",
      run: [...run],
      files: await hashWorkloadFiles({ projectDir, ...(files === undefined ? {} : { files }) }),
    };
  }
  const locked = findLockedImage(image, before);
  if (locked !== undefined && update !== true) return locked;
  if (resolve === undefined) throw imageNotLocked(image, lockPath, before);
  return await lockImage(image, resolve);
}

/**
 * Writes a stack into polaris.lock; with `deployed`, also what only the control plane knows of the deployment. Other stacks
 * stay as they are in the file by now: two stacks may be deployed at once.
 *
 * @throws {PolarisError} LOCK_FILE_STALE if another command has written something else of this stack, or of these pins, since
 *   the lock was read
 */
export async function saveLock(
  project: Project,
  locked: LockedStack,
  deployed?: DeployedStack,
): Promise<LockFile> {
  const { stackLock, pins, before } = locked;
  return changeLockFile(project, (current): LockFile => {
    requireUntouched(project, current?.stacks[project.stack], before.stackLock, stackLock);
    for (const [name, pin] of Object.entries(pins)) {
      requireUntouched(project, current?.pins?.[name], before.pins[name], pin);
    }
    return {
      version: 1,
      name: project.config.name,
      stacks: { ...current?.stacks, [project.stack]: stackLock },
      deployed: { ...current?.deployed, ...(deployed === undefined ? {} : { [project.stack]: deployed }) },
      ...mergePins(current, pins),
    };
  });
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

/**
 * The image that a project's pin names. At the first use it is whatever its registry has, and is written into polaris.lock;
 * from then on only `polaris lock --update` changes it.
 *
 * @param options.save  false: an image that is not pinned yet is not written down either, for commands that only look
 */
export async function usePinnedImage(
  project: Project,
  name: PinName,
  { resolve, save }: { readonly resolve: ResolveImage; readonly save: boolean },
): Promise<ResolvedImage> {
  const pinned = (await loadOwnLock(project))?.pins?.[name];
  if (pinned !== undefined) return await resolvePinned(pinned, resolve);
  const resolved = await resolve(parseImageReference(PINNED_IMAGES[name]));
  if (!save) return resolved;
  const { pins } = await changeLockFile(project, (current): LockFile => {
    const base = current ?? { version: 1, name: project.config.name, stacks: {}, deployed: {} };
    // Whoever was first decides.
    return { ...base, ...mergePins({ pins: { [name]: pinImage(resolved) } }, current?.pins ?? {}) };
  });
  const recorded = pins?.[name];
  return recorded === undefined || recorded.platformDigest === resolved.platformDigest
    ? resolved
    : await resolvePinned(recorded, resolve);
}

/** What is pinned, whatever its tag names by now; it is called by the tag all the same. */
async function resolvePinned(pin: ImagePin, resolve: ResolveImage): Promise<ResolvedImage> {
  const asked = { ...parseImageReference(pin.reference), digest: pin.platformDigest };
  const { reference, digest, mediaType } = pin;
  return { ...(await resolve(asked)), reference, digest, mediaType };
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
