import { formatImageReference, parseImageReference } from "@polaris-cvm/images/image-reference.ts";
import type { ImageReference } from "@polaris-cvm/images/image-reference.ts";
import type { ImageConfig } from "@polaris-cvm/images/manifest.ts";
import type { ResolvedImage } from "@polaris-cvm/images/resolve-image.ts";
import type { ImageFacts, ImagePin, LockedImage, LockedWorkload } from "./schema.ts";

/** Asks a registry what a reference names now. */
export type ResolveImage = (reference: ImageReference) => Promise<ResolvedImage>;

/** How a reference is written in the lock: two ways to write the same one are one. */
export function canonicalReference(image: string): string {
  return formatImageReference(parseImageReference(image));
}

/**
 * The lock's entry for the image of the configuration; undefined if it has none, or one for another reference. That the
 * digests of an entry are those of its reference is known by then: polaris.lock is not read otherwise.
 */
export function findLockedImage(image: string, before: LockedWorkload | undefined): LockedImage | undefined {
  return before?.kind === "image" && before.reference === canonicalReference(image) ? before : undefined;
}

/** The lock's entry for a workload that is an image. */
export async function lockImage(image: string, resolve: ResolveImage): Promise<LockedImage> {
  const resolved = await resolve(parseImageReference(image));
  return { kind: "image", ...pinImage(resolved), config: factsOf(resolved.config) };
}

/** What the lock has of an image's configuration. */
export function factsOf({ entrypoint, cmd, env, user, workingDir, exposedPorts }: ImageConfig): ImageFacts {
  return { entrypoint, cmd, env, user, workingDir, exposedPorts };
}

/** The lock's entry for an image of somebody else that Polaris itself uses. */
export function pinImage(resolved: ResolvedImage): ImagePin {
  const { reference, digest, mediaType, platformDigest, platformMediaType } = resolved;
  return { reference, digest, mediaType, platformDigest, platformMediaType };
}

/** What a workload is, in one digest: the files of a program, or the image for linux/amd64. */
export function workloadDigest(workload: LockedWorkload): string {
  return workload.kind === "image" ? workload.platformDigest : workload.files.sha256;
}
