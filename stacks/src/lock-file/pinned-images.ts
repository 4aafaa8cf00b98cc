import { DEFAULT_BASE_IMAGE } from "@polaris-cvm/images/base-image.ts";
import { formatImageReference, parseImageReference } from "@polaris-cvm/images/image-reference.ts";
import { pinImage } from "./locked-image.ts";
import type { ResolveImage } from "./locked-image.ts";
import type { ImagePin } from "./schema.ts";

/** Images of other people that Polaris itself uses, by the names of their pins in polaris.lock. */
export const PINNED_IMAGES = {
  /** What the proxy image stands on. */
  base: formatImageReference(parseImageReference(DEFAULT_BASE_IMAGE)),
} as const;

export type PinName = keyof typeof PINNED_IMAGES;

/** The pins as the registries would have them now: what this version of Polaris calls by these names. */
export async function resolvePins(
  pins: Readonly<Record<string, ImagePin>>,
  resolve: ResolveImage,
): Promise<Record<string, ImagePin>> {
  const fresh: Record<string, ImagePin> = {};
  for (const [name, pin] of Object.entries(pins)) {
    const reference = isPinName(name) ? PINNED_IMAGES[name] : pin.reference;
    fresh[name] = pinImage(await resolve(parseImageReference(reference)));
  }
  return fresh;
}

function isPinName(name: string): name is PinName {
  return Object.hasOwn(PINNED_IMAGES, name);
}
