import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Image } from "@polaris-cvm/images/image.ts";
import type { RepositoryName } from "@polaris-cvm/images/image-reference.ts";
import type { ImagePin } from "@polaris-cvm/stacks/lock-file/schema.ts";
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
 * Opens the base of the proxy image: what `--base` names, or in a project `proxy.base`, or else the default one. Where
 * polaris.lock has pinned `proxy.base`, it is the pinned image; without a pin it is resolved now, and only `polaris lock`
 * writes one.
 *
 * @param base  a reference, or the folder of an OCI layout
 */
export async function openBase(
  context: CommandContext,
  base: string | undefined,
  registry: ImageRegistry,
): Promise<OpenedBase> {
  if (base !== undefined && isLayout(base)) {
    const { openLayout } = await import("@polaris-cvm/images/layout.ts");
    return {
      image: await openLayout(resolve(base), { signal: context.signal }),
      name: "layout",
      repository: undefined,
    };
  }
  const { formatImageReference, parseImageReference } =
    await import("@polaris-cvm/images/image-reference.ts");
  const { openBasePin } = await import("@polaris-cvm/stacks/lock-file/confirmed-image.ts");
  const { reference: wanted, pin } =
    base === undefined ? await readProject(context) : { reference: base, pin: undefined };
  const reference = parseImageReference(wanted);
  const image =
    pin === undefined ? (await registry.resolve(reference)).image : await openBasePin(pin, registry);
  const name = formatImageReference(reference);
  context.note(`base ${name} is ${image.manifest.digest}`);
  return { image, name, repository: { registry: reference.registry, repository: reference.repository } };
}

/** The base that the project of this folder asks for, if there is one, and its pin, if it has one. */
async function readProject(
  context: CommandContext,
): Promise<{ readonly reference: string; readonly pin: ImagePin | undefined }> {
  if (!existsSync(resolve(context.cwd, context.flags.config ?? "polaris.yaml"))) {
    const { DEFAULT_BASE_IMAGE } = await import("@polaris-cvm/images/base-image.ts");
    return { reference: DEFAULT_BASE_IMAGE, pin: undefined };
  }
  const { loadLock, openProject } = await import("@polaris-cvm/stacks/project.ts");
  const { findBasePin } = await import("@polaris-cvm/stacks/lock-file/stack-images.ts");
  const project = await openProject(context.cwd, context.flags);
  const reference = project.config.proxy.base;
  return { reference, pin: findBasePin((await loadLock(project))?.pins ?? {}, reference) };
}

/** A name with a dot or slash first can be no reference; any other folder has to look like a layout. */
function isLayout(base: string): boolean {
  return /^[./]/.test(base) || existsSync(join(base, "oci-layout"));
}
