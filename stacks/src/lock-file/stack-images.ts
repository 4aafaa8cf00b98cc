/** Workload and proxy of a stack as images: what of them the lock has, and asking for the rest. */
import { parseImageReference } from "@polaris-cvm/images/image-reference.ts";
import type { ProxyLayer } from "@polaris-cvm/images/proxy-layer.ts";
import type { ResolvedImage } from "@polaris-cvm/images/resolve-image.ts";
import { compareProxy } from "./compare.ts";
import type { LockChange } from "./compare.ts";
import { BASE_PIN, rewriteImage, rewritePin } from "./confirmed-image.ts";
import type { PinnedImages } from "./confirmed-image.ts";
import { canonicalReference, findLockedImage, lockImage, pinImage } from "./locked-image.ts";
import type { ResolveImage } from "./locked-image.ts";
import { lockProxy, sourcesOf } from "./locked-proxy.ts";
import type { ImagePin, LockedImage, LockedProxy, StackLock } from "./schema.ts";

/** What a stack is to run. */
export interface WantedImages {
  /** `workload.image` */
  readonly workload: string;
  /** `proxy.base` */
  readonly base: string;
  /** Of this installation. */
  readonly layer: ProxyLayer;
}

/** What the lock has, or will have, of it. */
export interface LockedImages {
  readonly workload: LockedImage;
  readonly base: ImagePin;
  readonly proxy: LockedProxy;
}

/** What polaris.lock says of a stack and of pins. */
export interface LockContent {
  readonly stackLock: StackLock | undefined;
  readonly pins: Readonly<Record<string, ImagePin>>;
}

/** Where images are found out about. */
export interface ImageSource extends PinnedImages {
  /** What a reference names now: asks a registry. */
  readonly resolve: ResolveImage;
}

/** Where no registry is asked. */
export interface KeptSource {
  /** As `readPinned`; undefined where not all of it is kept. */
  readonly findPinned: (pin: ImagePin) => Promise<ResolvedImage | undefined>;
  readonly signal: AbortSignal;
}

/** The pin of the base that the configuration names; undefined if there is none, or one of another reference. */
export function findBasePin(pins: LockContent["pins"], base: string): ImagePin | undefined {
  const pin = pins[BASE_PIN];
  return pin?.reference === canonicalReference(base) ? pin : undefined;
}

/** The entries that are still what is wanted. */
export function findLockedImages(
  wanted: WantedImages,
  { stackLock, pins }: LockContent,
): Partial<LockedImages> {
  const workload = findLockedImage(wanted.workload, stackLock?.workload);
  const base = findBasePin(pins, wanted.base);
  const isProxy =
    base !== undefined &&
    compareProxy(stackLock?.proxy, sourcesOf({ base, layer: wanted.layer })).length === 0;
  return {
    ...(workload !== undefined && { workload }),
    ...(base !== undefined && { base }),
    ...(isProxy && stackLock?.proxy !== undefined && { proxy: stackLock.proxy }),
  };
}

export function areAllLocked(images: Partial<LockedImages>): images is LockedImages {
  return images.workload !== undefined && images.base !== undefined && images.proxy !== undefined;
}

/** What is not, each with its reason; empty if all are. */
export function listUnlocked(wanted: WantedImages, { stackLock, pins }: LockContent): LockChange[] {
  const workload = stackLock?.workload;
  const base = findBasePin(pins, wanted.base);
  const locked = stackLock?.proxy;
  const sources = {
    version: wanted.layer.version,
    layer: wanted.layer.digest,
    // Of a base that is not pinned there is nothing to compare with.
    base: base?.platformDigest ?? locked?.base ?? "",
  };
  return [
    ...(findLockedImage(wanted.workload, workload) === undefined
      ? [
          {
            field: "workload.reference",
            from: workload?.kind === "image" ? workload.reference : undefined,
            to: canonicalReference(wanted.workload),
            reason: "its digest is what polaris lock asks the registry for",
          },
        ]
      : []),
    ...(base === undefined
      ? [
          {
            field: `pins.${BASE_PIN}.reference`,
            from: pins[BASE_PIN]?.reference,
            to: canonicalReference(wanted.base),
            reason:
              pins[BASE_PIN] === undefined
                ? "the base that it stands on is not pinned yet"
                : "proxy.base names another image than the pin does",
          },
        ]
      : []),
    ...compareProxy(locked, sources),
  ];
}

/**
 * The entries that an image source gives. Those that are known are read by their digests, wherever their tags point by now:
 * a hand may have changed the rest of them. The proxy is built anew.
 *
 * @throws {PolarisError} what the source throws, and of a base that does not fit
 */
export async function completeImages(
  wanted: WantedImages,
  known: Partial<LockedImages>,
  source: ImageSource,
): Promise<LockedImages> {
  const workload =
    known.workload === undefined
      ? await lockImage(wanted.workload, source.resolve)
      : rewriteImage(known.workload, await source.readPinned(known.workload));
  const base =
    known.base === undefined
      ? pinImage(await source.resolve(parseImageReference(wanted.base)))
      : rewritePin(known.base, await source.readPinned(known.base));
  const proxy = await lockProxy({ base, layer: wanted.layer }, source);
  return { workload, base, proxy };
}

/**
 * The same without a registry: what is not kept is as it is locked.
 *
 * @throws {PolarisError} of what is kept and is no image that can be run, and of a base that does not fit
 */
export async function rereadImages(
  { layer }: WantedImages,
  locked: LockedImages,
  { findPinned, signal }: KeptSource,
): Promise<LockedImages> {
  const workload = await findPinned(locked.workload);
  const base = await findPinned(locked.base);
  return {
    workload: workload === undefined ? locked.workload : rewriteImage(locked.workload, workload),
    ...(base === undefined
      ? { base: locked.base, proxy: locked.proxy }
      : await rebuildProxy(rewritePin(locked.base, base), layer, {
          readPinned: () => Promise.resolve(base),
          signal,
        })),
  };
}

async function rebuildProxy(
  base: ImagePin,
  layer: ProxyLayer,
  source: PinnedImages,
): Promise<Pick<LockedImages, "base" | "proxy">> {
  return { base, proxy: await lockProxy({ base, layer }, source) };
}
