import type { BuiltImage } from "@polaris-cvm/images/proxy-image.ts";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { Project } from "@polaris-cvm/stacks/project.ts";
import { openImageRegistry } from "./image-registry.ts";
import type { CommandContext } from "./run-command.ts";

/** The proxy image of this installation, on the base that the project has pinned. */
export interface ProxyImages extends AsyncDisposable {
  /** Built at the first call: a stack of programs needs none. */
  readonly open: () => Promise<BuiltImage>;
}

/**
 * @param options.frozen  polaris.lock has to name the base already
 * @param options.pin  whether a base that it does not name is written into it
 */
export function openProxyImages(
  context: CommandContext,
  project: Project,
  { frozen, pin }: { readonly frozen: boolean; readonly pin: boolean },
): ProxyImages {
  const registry = openImageRegistry(context);
  let image: Promise<BuiltImage> | undefined;
  const build = async (): Promise<BuiltImage> => {
    const { openBase } = await import("./open-base.ts");
    const { buildOnBase } = await import("./build-image.ts");
    if (frozen) await requirePinnedBase(project);
    return await buildOnBase(context, await openBase(context, { base: undefined, registry, pin }));
  };
  return {
    open: () => (image ??= build()),
    // Layers of the base are read from the registry as long as the image is in use.
    [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
  };
}

/** @throws {PolarisError} IMAGE_NOT_LOCKED */
async function requirePinnedBase(project: Project): Promise<void> {
  const { loadLock } = await import("@polaris-cvm/stacks/project.ts");
  if ((await loadLock(project))?.pins?.["base"] !== undefined) return;
  const { DEFAULT_BASE_IMAGE } = await import("@polaris-cvm/images/base-image.ts");
  throw new PolarisError(
    "IMAGE_NOT_LOCKED",
    `${DEFAULT_BASE_IMAGE}, which the proxy image stands on, is not in ${project.lockPath}`,
    {
      hint: "deploy once without --locked: its digest is written down at the first use; look at it and commit it",
    },
  );
}
