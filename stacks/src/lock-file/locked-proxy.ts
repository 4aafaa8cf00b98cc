/** The image of the proxy in the lock: what this installation makes on the base that is pinned. */
import type { BuiltImage } from "@polaris-cvm/images/proxy-image.ts";
import type { ProxyLayer } from "@polaris-cvm/images/proxy-layer.ts";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { compareProxy } from "./compare.ts";
import type { ProxySources } from "./compare.ts";
import { CHANGED_LOCK_HINT, openBasePin } from "./confirmed-image.ts";
import type { PinnedImages } from "./confirmed-image.ts";
import { factsOf } from "./locked-image.ts";
import type { ImagePin, LockedProxy } from "./schema.ts";

/** What the proxy's image is made of. */
export interface ProxyParts {
  readonly base: ImagePin;
  readonly layer: ProxyLayer;
}

/** What of the proxy's image can be compared without having its base. */
export function sourcesOf({ base, layer }: ProxyParts): ProxySources {
  return { version: layer.version, layer: layer.digest, base: base.platformDigest };
}

/**
 * The lock's entry for the image that the parts make.
 *
 * @throws {PolarisError} as of `openBasePin`, and of a base that does not fit
 */
export async function lockProxy(parts: ProxyParts, source: PinnedImages): Promise<LockedProxy> {
  return await describeProxy(parts, await build(parts, source), source.signal);
}

/**
 * Builds the image that the lock has.
 *
 * @throws {PolarisError} IMAGE_DIGEST_MISMATCH if another one comes out; as of `openBasePin`
 */
export async function buildLockedProxy(
  parts: ProxyParts,
  locked: LockedProxy,
  source: PinnedImages,
): Promise<BuiltImage> {
  const image = await build(parts, source);
  const changes = compareProxy(locked, await describeProxy(parts, image, source.signal));
  if (changes.length === 0) return image;
  throw new PolarisError(
    "IMAGE_DIGEST_MISMATCH",
    `the proxy's image: expected ${locked.digest} as it is locked, got ${image.manifest.digest}`,
    {
      hint: CHANGED_LOCK_HINT,
      details: { changes },
    },
  );
}

async function build({ base, layer }: ProxyParts, source: PinnedImages): Promise<BuiltImage> {
  // Loaded where an image is built, and nowhere else: that takes the bundler.
  const { buildProxyImage } = await import("@polaris-cvm/images/proxy-image.ts");
  return await buildProxyImage({
    base: await openBasePin(base, source),
    baseName: base.reference,
    layer,
    signal: source.signal,
  });
}

async function describeProxy(
  parts: ProxyParts,
  image: BuiltImage,
  signal: AbortSignal,
): Promise<LockedProxy> {
  const { readImageConfig } = await import("@polaris-cvm/images/read-image-config.ts");
  const { config } = await readImageConfig(image, { subject: "the proxy's image", signal });
  const { digest, mediaType } = image.manifest;
  return {
    ...sourcesOf(parts),
    digest,
    mediaType,
    platformDigest: digest,
    platformMediaType: mediaType,
    config: factsOf(config),
  };
}
