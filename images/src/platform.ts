import { PolarisError } from "@polaris-cvm/sdk/errors";
import { isManifestType } from "./manifest.ts";
import type { Descriptor, ImageConfig, Index } from "./manifest.ts";

/** The platform of every confidential machine that Polaris knows. */
const OS = "linux";
const ARCHITECTURE = "amd64";
export const PLATFORM = `${OS}/${ARCHITECTURE}`;

/** The least demanding variant of amd64 first: it runs on every machine. */
const VARIANTS: readonly (string | undefined)[] = [undefined, "v1", "v2", "v3", "v4"];

/**
 * The entry of an index that is the image for linux/amd64 (image-spec, "Image Index"). Entries without a platform, or of
 * "unknown" (attestations of BuildKit), are for nobody to run.
 *
 * @throws {PolarisError} IMAGE_PLATFORM_MISSING
 */
export function findPlatform({ manifests }: Index): Descriptor {
  const runnable = manifests.filter(({ mediaType }) => isManifestType(mediaType));
  const candidates = runnable.filter(
    ({ platform }) => platform?.os === OS && platform.architecture === ARCHITECTURE,
  );
  const rank = ({ platform }: Descriptor): number => {
    const place = VARIANTS.indexOf(platform?.variant === "" ? undefined : platform?.variant);
    return place === -1 ? VARIANTS.length : place;
  };
  const [chosen] = candidates.toSorted((one, other) => rank(one) - rank(other));
  if (chosen !== undefined) return chosen;
  const platforms = runnable.flatMap(({ platform }) =>
    platform === undefined || platform.os === "unknown" ? [] : [`${platform.os}/${platform.architecture}`],
  );
  throw platformMissing(platforms.length === 0 ? "no platform at all" : [...new Set(platforms)].join(", "));
}

/** @throws {PolarisError} IMAGE_PLATFORM_MISSING if an image, by its own configuration, is for another platform */
export function requirePlatform({ os, architecture }: Pick<ImageConfig, "os" | "architecture">): void {
  if (os !== OS || architecture !== ARCHITECTURE) throw platformMissing(`${os}/${architecture}`);
}

function platformMissing(actual: string): PolarisError {
  return new PolarisError("IMAGE_PLATFORM_MISSING", `there is no image for ${PLATFORM}, only for ${actual}`, {
    hint: "confidential machines are amd64: build it with --platform linux/amd64 and push that too",
  });
}
