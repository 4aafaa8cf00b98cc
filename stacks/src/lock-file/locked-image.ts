import { formatImageReference, parseImageReference } from "@polaris-cvm/images/image-reference.ts";
import type { ImageReference } from "@polaris-cvm/images/image-reference.ts";
import type { ResolvedImage } from "@polaris-cvm/images/resolve-image.ts";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { ImagePin, LockedImage, LockedWorkload } from "./schema.ts";

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
  const { entrypoint, cmd, env, user, workingDir, exposedPorts } = resolved.config;
  return {
    kind: "image",
    ...pinImage(resolved),
    config: { entrypoint, cmd, env, user, workingDir, exposedPorts },
  };
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

/** @param before  what the lock says of the workload, if anything */
export function imageNotLocked(
  image: string,
  lockPath: string,
  before: LockedWorkload | undefined,
): PolarisError {
  const reference = canonicalReference(image);
  const instead = before?.kind === "image" ? `, it has ${before.reference}` : "";
  return new PolarisError("IMAGE_NOT_LOCKED", `${reference} is not in ${lockPath}${instead}`, {
    hint: 'run "polaris lock": it asks the registry for the digest; look at it and commit the result',
    details: { reference },
  });
}
