import { isPolarisError } from "@polaris-cvm/sdk/errors";
import type { LockedStack } from "@polaris-cvm/stacks/lock-stack.ts";
import type { Project } from "@polaris-cvm/stacks/project.ts";
import { confirm } from "./ask.ts";
import { openImageRegistry } from "./image-registry.ts";
import type { ImageRegistry } from "./image-registry.ts";
import { escapeControls } from "./print.ts";
import type { CommandContext } from "./run-command.ts";

/**
 * What polaris.lock says for a deploy or preview, with its images held against their own bytes. Images that are not in the
 * lock are refused; a person is shown what they are now, workload and proxy together, and is offered to have that locked.
 *
 * @param options.frozen  the lock has to be complete as it is: nobody is offered anything
 * @throws {PolarisError} IMAGE_NOT_LOCKED, LOCK_FILE_STALE, IMAGE_DIGEST_MISMATCH; what a registry answers that has to be
 *   asked; CANCELLED if the person says no
 */
export async function lockProject(
  context: CommandContext,
  project: Project,
  options: { readonly frozen: boolean },
): Promise<LockedStack> {
  const { confirmImages } = await import("@polaris-cvm/stacks/lock-stack.ts");
  await using registry = openImageRegistry(context);
  const locked = await lockOrOffer(context, project, { ...options, registry });
  await confirmImages(locked, registry);
  return locked;
}

async function lockOrOffer(
  context: CommandContext,
  project: Project,
  { frozen, registry }: { readonly frozen: boolean; readonly registry: ImageRegistry },
): Promise<LockedStack> {
  const { lockStack } = await import("@polaris-cvm/stacks/lock-stack.ts");
  const { saveLock } = await import("@polaris-cvm/stacks/write-lock.ts");
  try {
    return await lockStack(project, { frozen });
  } catch (error) {
    if (!isPolarisError(error) || error.code !== "IMAGE_NOT_LOCKED" || frozen || !context.interactive)
      throw error;
    context.note(escapeControls(error.message));
  }
  const locked = await lockStack(project, { frozen, images: registry });
  for (const line of describeImages(locked)) context.note(escapeControls(line));
  await confirm(context, "Lock it as that?");
  await saveLock(project, locked);
  return locked;
}

/** What would be new in the lock. */
function describeImages({ stackLock: { workload, proxy }, proxyParts, changes }: LockedStack): string[] {
  const isNew = (prefix: string): boolean => changes.some(({ field }) => field.startsWith(prefix));
  const base = proxyParts?.base;
  return [
    ...(workload.kind === "image" && isNew("workload.")
      ? [`${workload.reference} is ${workload.digest}`, `for linux/amd64 it is ${workload.platformDigest}`]
      : []),
    ...(base !== undefined && isNew("pins.")
      ? [`${base.reference}, which the proxy stands on, is ${base.platformDigest}`]
      : []),
    ...(proxy !== undefined && isNew("proxy.")
      ? [`the image of the proxy (polaris ${proxy.version}) is ${proxy.digest}`]
      : []),
  ];
}
