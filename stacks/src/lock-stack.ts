/** What polaris.lock has to say of a stack before it is deployed. */
import { randomInt } from "node:crypto";
import type { ProxyLayer } from "@polaris-cvm/images/proxy-layer.ts";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { selectWorkload } from "./config/select-workload.ts";
import { comparePins, compareStackLock } from "./lock-file/compare.ts";
import type { LockChange } from "./lock-file/compare.ts";
import { createStackLock, updateStackLock } from "./lock-file/create.ts";
import { BASE_PIN, confirmWorkload, openBasePin } from "./lock-file/confirmed-image.ts";
import type { PinnedImages } from "./lock-file/confirmed-image.ts";
import { loadLockFile } from "./lock-file/file.ts";
import type { ProxyParts } from "./lock-file/locked-proxy.ts";
import type { ImagePin, LockedProcess, StackIdentity, StackLock } from "./lock-file/schema.ts";
import {
  areAllLocked,
  completeImages,
  findLockedImages,
  listUnlocked,
  rereadImages,
} from "./lock-file/stack-images.ts";
import type {
  ImageSource,
  KeptSource,
  LockContent,
  LockedImages,
  WantedImages,
} from "./lock-file/stack-images.ts";
import { hashWorkloadFiles } from "./lock-file/workload-files.ts";
import { planKeyPolicy } from "./plan.ts";
import type { Project } from "./project.ts";

/** What polaris.lock says, or would say, for a stack. */
export interface LockedStack {
  readonly stackLock: StackLock;
  /** What this stack has been compared with: whoever saves it looks whether somebody has moved them meanwhile. */
  readonly pins: Readonly<Record<string, ImagePin>>;
  /** What the proxy's image is made of; undefined where workload and proxy are programs. */
  readonly proxyParts: ProxyParts | undefined;
  /** What the lock said when it was read. */
  readonly before: LockContent;
  /** What the lock on disk does not say yet. */
  readonly changes: readonly LockChange[];
}

export interface LockOptions {
  /** A difference is LOCK_FILE_STALE: what is deployed has to be what was committed. */
  readonly frozen: boolean;
  /** Absent: nobody is asked, and an image that is not locked is IMAGE_NOT_LOCKED. */
  readonly images?: ImageSource;
  /** Asks also for the tags of images that are locked: they may name other ones now. */
  readonly update?: boolean;
}

/**
 * Compares polaris.lock with what the configuration, the workload's files, this installation and, with an image source, the
 * images say now. Without one, images are taken as they are locked: see {@link confirmImages}. Writes nothing.
 *
 * @throws {PolarisError} LOCK_FILE_STALE, IMAGE_NOT_LOCKED, and what the image source throws
 */
export async function lockStack(project: Project, options: LockOptions): Promise<LockedStack> {
  const before = await loadContent(project);
  const wanted = await wantImages(project);
  const locked =
    wanted === undefined
      ? await compareProcess(project, before)
      : compareImages(project, before, wanted, await lockImages(project, before, wanted, options));
  if (options.frozen && locked.changes.length > 0) {
    throw new PolarisError("LOCK_FILE_STALE", `${project.lockPath} does not say what would be deployed`, {
      hint: 'run "polaris lock", look at the difference and commit it',
      details: { changes: locked.changes },
    });
  }
  return locked;
}

/**
 * Holds the images of a stack against their bytes. Has to come before any of them is used: a plan takes the workload's
 * command from the lock.
 *
 * @throws {PolarisError} IMAGE_DIGEST_MISMATCH naming the fields that the bytes do not say; as of `readPinned`
 */
export async function confirmImages(
  { stackLock: { workload }, proxyParts }: LockedStack,
  source: PinnedImages,
): Promise<void> {
  if (workload.kind === "image") await confirmWorkload(workload, source);
  if (proxyParts !== undefined) await openBasePin(proxyParts.base, source);
}

/**
 * What `polaris lock` would change, as far as that is known without asking a registry. Writes nothing.
 *
 * @param kept  where images are looked for; absent: only what the lock says is compared
 * @throws {PolarisError} of what is kept and is no image that can be run
 */
export async function checkLock(project: Project, kept?: KeptSource): Promise<readonly LockChange[]> {
  const before = await loadContent(project);
  const wanted = await wantImages(project);
  if (wanted === undefined) return (await compareProcess(project, before)).changes;
  const images = findLockedImages(wanted, before);
  if (!areAllLocked(images)) return listUnlocked(wanted, before);
  const now = kept === undefined ? images : await rereadImages(wanted, images, kept);
  return compareImages(project, before, wanted, now).changes;
}

async function loadContent({ config, stack, lockPath }: Project): Promise<LockContent> {
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
  return { stackLock: existing?.stacks[stack], pins: existing?.pins ?? {} };
}

/** Undefined if the stack runs a program. */
async function wantImages({ config }: Project): Promise<WantedImages | undefined> {
  const { image } = selectWorkload(config);
  if (image === undefined) return undefined;
  ownLayer ??= makeOwnLayer();
  return { workload: image, base: config.proxy.base, layer: await ownLayer };
}

/** Made once: who is offered to lock an image has the lock looked at twice. */
let ownLayer: Promise<ProxyLayer> | undefined;

/** With times of 1970 whatever SOURCE_DATE_EPOCH says: what is deployed hangs on what is locked and installed alone. */
async function makeOwnLayer(): Promise<ProxyLayer> {
  // Loaded for images only: that takes the bundler.
  const { makeProxyLayer } = await import("@polaris-cvm/images/proxy-layer.ts");
  return await makeProxyLayer();
}

async function lockImages(
  { lockPath }: Project,
  before: LockContent,
  wanted: WantedImages,
  { images: source, update }: LockOptions,
): Promise<LockedImages> {
  const known = findLockedImages(wanted, before);
  if (source !== undefined) return await completeImages(wanted, update === true ? {} : known, source);
  if (areAllLocked(known)) return known;
  throw imageNotLocked(lockPath, listUnlocked(wanted, before));
}

/** One error for all of them: they are locked by one command. */
function imageNotLocked(lockPath: string, changes: readonly LockChange[]): PolarisError {
  const workload = changes.find(({ field }) => field.startsWith("workload."));
  const proxy = changes.find(({ field }) => !field.startsWith("workload."));
  const missing = [
    ...(workload === undefined
      ? []
      : [
          `${workload.to} is not in ${lockPath}${workload.from === undefined ? "" : `, it has ${workload.from}`}`,
        ]),
    ...(proxy === undefined ? [] : [`the image of the proxy is not in ${lockPath}: ${proxy.reason}`]),
  ];
  return new PolarisError("IMAGE_NOT_LOCKED", missing.join("; "), {
    hint: 'run "polaris lock": it asks the registry for digests; look at the difference and commit it',
    details: { changes },
  });
}

function compareImages(
  project: Project,
  before: LockContent,
  { layer }: WantedImages,
  { workload, base, proxy }: LockedImages,
): LockedStack {
  const pins = { [BASE_PIN]: base };
  const named = before.stackLock ?? drawStackLock(project);
  const { condition } = planKeyPolicy(named);
  const stackLock = updateStackLock(named, { workload, proxy, condition });
  return {
    stackLock,
    pins,
    proxyParts: { base, layer },
    before,
    changes: [...compareStackLock(before.stackLock, stackLock), ...comparePins(before.pins, pins)],
  };
}

async function compareProcess(project: Project, before: LockContent): Promise<LockedStack> {
  const named = before.stackLock ?? drawStackLock(project);
  const workload = await lockProcess(project);
  const stackLock = updateStackLock(named, { workload, condition: planKeyPolicy(named).condition });
  const changes = compareStackLock(before.stackLock, stackLock);
  return { stackLock, pins: {}, proxyParts: undefined, before, changes };
}

async function lockProcess({ config, projectDir }: Project): Promise<LockedProcess> {
  const { files } = config.targets.local;
  return {
    kind: "process",
    run: [...(config.targets.local.run ?? [])],
    files: await hashWorkloadFiles({ projectDir, ...(files === undefined ? {} : { files }) }),
  };
}

function drawStackLock({ config, stack, target }: Project): StackIdentity {
  return createStackLock({
    name: config.name,
    stack,
    target,
    random: (below) => randomInt(below),
  });
}
