/**
 * Images of polaris.lock, held against their own bytes. Of all that the lock says of an image only `digest` is looked at by
 * a reader of polaris.yaml; the rest follows from it, and is not believed before that was seen.
 */
import type { Image } from "@polaris-cvm/images/image.ts";
import type { ResolvedImage } from "@polaris-cvm/images/resolve-image.ts";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { compareImage } from "./compare.ts";
import type { LockChange } from "./compare.ts";
import { factsOf, pinImage } from "./locked-image.ts";
import type { ImagePin, LockedImage } from "./schema.ts";

/** Name of the base's pin. */
export const BASE_PIN = "base";

/** Where images are found that are pinned. */
export interface PinnedImages {
  /** What the bytes of a pin's `digest` say, from its repository; whatever else the pin says is not looked at. */
  readonly readPinned: (pin: ImagePin) => Promise<ResolvedImage>;
  readonly signal: AbortSignal;
}

/** What a pin would be, by the bytes of its digest. */
export function rewritePin({ reference }: ImagePin, read: ResolvedImage): ImagePin {
  return { ...pinImage(read), reference };
}

/** The same for the workload. */
export function rewriteImage(locked: LockedImage, read: ResolvedImage): LockedImage {
  return { kind: "image", ...rewritePin(locked, read), config: factsOf(read.config) };
}

/**
 * Opens the base that is pinned.
 *
 * @throws {PolarisError} IMAGE_DIGEST_MISMATCH if the pin is not what its bytes say; as of `readPinned`
 */
export async function openBasePin(pin: ImagePin, { readPinned }: PinnedImages): Promise<Image> {
  const read = await readPinned(pin);
  requireSame(pin, compareImage(pin, rewritePin(pin, read), `pins.${BASE_PIN}.`));
  return read.image;
}

/** @throws {PolarisError} IMAGE_DIGEST_MISMATCH if the workload is not what its bytes say; as of `readPinned` */
export async function confirmWorkload(locked: LockedImage, { readPinned }: PinnedImages): Promise<void> {
  requireSame(locked, compareImage(locked, rewriteImage(locked, await readPinned(locked)), "workload."));
}

function requireSame({ reference, digest }: ImagePin, changes: readonly LockChange[]): void {
  if (changes.length === 0) return;
  const fields = changes.map(({ field }) => field).join(", ");
  throw new PolarisError(
    "IMAGE_DIGEST_MISMATCH",
    `${reference}: ${digest} is not as polaris.lock says: ${fields}`,
    { hint: CHANGED_LOCK_HINT, details: { changes } },
  );
}

/** For whatever is in the lock and cannot have come from its image. */
export const CHANGED_LOCK_HINT =
  "somebody has changed polaris.lock: take it from version control again, or run polaris lock --update and look at the difference";
