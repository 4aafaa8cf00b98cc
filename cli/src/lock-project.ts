import { isPolarisError } from "@polaris-cvm/sdk/errors";
import type { LockedStack, Project } from "@polaris-cvm/stacks/project.ts";
import { confirm } from "./ask.ts";
import { openImageRegistry } from "./image-registry.ts";
import { escapeControls } from "./print.ts";
import type { CommandContext } from "./run-command.ts";

/**
 * What polaris.lock says for a deploy. An image that is not in the lock is refused; a person is shown what its registry has
 * now, and is offered to have that locked.
 *
 * @param options.frozen  the lock has to be complete as it is: nobody is offered anything
 * @throws {PolarisError} IMAGE_NOT_LOCKED, LOCK_FILE_STALE; CANCELLED if the person says no
 */
export async function lockProject(
  context: CommandContext,
  project: Project,
  { frozen }: { readonly frozen: boolean },
): Promise<LockedStack> {
  const { lockStack, saveLock } = await import("@polaris-cvm/stacks/project.ts");
  try {
    return await lockStack(project, { frozen });
  } catch (error) {
    if (!isPolarisError(error) || error.code !== "IMAGE_NOT_LOCKED" || frozen || !context.interactive)
      throw error;
    context.note(escapeControls(error.message));
  }
  await using registry = openImageRegistry(context);
  const locked = await lockStack(project, { frozen, resolve: registry.resolve });
  const { workload } = locked.stackLock;
  if (workload.kind === "image") {
    const { reference, digest, platformDigest } = workload;
    context.note(escapeControls(`${reference} is ${digest}`));
    context.note(escapeControls(`for linux/amd64 it is ${platformDigest}`));
  }
  await confirm(context, "Lock it as that?");
  await saveLock(project, locked);
  return locked;
}
