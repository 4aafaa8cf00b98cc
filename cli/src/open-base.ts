import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Image } from "@polaris-cvm/images/image.ts";
import type { RepositoryName } from "@polaris-cvm/images/image-reference.ts";
import type { ImageRegistry } from "./image-registry.ts";
import type { CommandContext } from "./run-command.ts";

/** What a proxy image is to stand on. */
export interface OpenedBase {
  readonly image: Image;
  /** Canonical reference, or `layout`. */
  readonly name: string;
  /** Undefined for a layout. */
  readonly repository: RepositoryName | undefined;
}

/**
 * Opens the base of the proxy image: what `--base` names, or the default one. In a project the default is what polaris.lock
 * has pinned; without a pin it is resolved now.
 *
 * @param options.base  a reference, or the folder of an OCI layout
 * @param options.pin  whether what was resolved for a project is written into its polaris.lock
 */
export async function openBase(
  context: CommandContext,
  {
    base,
    registry,
    pin,
  }: { readonly base: string | undefined; readonly registry: ImageRegistry; readonly pin: boolean },
): Promise<OpenedBase> {
  if (base !== undefined && isLayout(base)) {
    const { openLayout } = await import("@polaris-cvm/images/layout.ts");
    return {
      image: await openLayout(resolve(base), { signal: context.signal }),
      name: "layout",
      repository: undefined,
    };
  }
  const { parseImageReference } = await import("@polaris-cvm/images/image-reference.ts");
  const { DEFAULT_BASE_IMAGE } = await import("@polaris-cvm/images/base-image.ts");
  const resolved =
    base === undefined && existsSync(resolve(context.cwd, context.flags.config ?? "polaris.yaml"))
      ? await usePin(context, registry, pin)
      : await registry.resolve(parseImageReference(base ?? DEFAULT_BASE_IMAGE));
  context.note(`base ${resolved.reference} is ${resolved.platformDigest}`);
  const { registry: host, repository } = parseImageReference(resolved.reference);
  return { image: resolved.image, name: resolved.reference, repository: { registry: host, repository } };
}

async function usePin(
  context: CommandContext,
  registry: ImageRegistry,
  save: boolean,
): ReturnType<ImageRegistry["resolve"]> {
  const { openProject, usePinnedImage } = await import("@polaris-cvm/stacks/project.ts");
  const project = await openProject(context.cwd, context.flags);
  return await usePinnedImage(project, "base", { resolve: registry.resolve, save });
}

/** A name with a dot or slash first can be no reference; any other folder has to look like a layout. */
function isLayout(base: string): boolean {
  return /^[./]/.test(base) || existsSync(join(base, "oci-layout"));
}
