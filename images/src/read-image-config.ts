import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { Image } from "./image.ts";
import { MAX_CONFIG_BYTES, parseImageConfig, parseManifest, requireRunnable } from "./manifest.ts";
import type { ImageConfig } from "./manifest.ts";
import { requirePlatform } from "./platform.ts";
import { readSmallBlob } from "./read-bytes.ts";

/**
 * What an image says of how it is run, if it is one that can be: for linux/amd64, without foreign layers, and of as many
 * layers as its configuration tells of. No layer is read.
 *
 * @param subject  how messages call the image
 * @returns the configuration, and the bytes that it was read from
 * @throws {PolarisError} IMAGE_INVALID, IMAGE_PLATFORM_MISSING, IMAGE_TOO_LARGE; and what opening the blob throws
 */
export async function readImageConfig(
  image: Image,
  { subject, signal }: { readonly subject: string; readonly signal: AbortSignal },
): Promise<{ readonly config: ImageConfig; readonly bytes: Uint8Array }> {
  requireRunnable(parseManifest(image.manifest.bytes, image.manifest.mediaType));
  const bytes = await readSmallBlob(image.config, image.openBlob, {
    what: `${subject}'s configuration`,
    maxBytes: MAX_CONFIG_BYTES,
    signal,
  });
  const config = parseImageConfig(bytes);
  requirePlatform(config);
  if (config.diffIds.length !== image.layers.length) {
    throw new PolarisError(
      "IMAGE_INVALID",
      `${subject} has ${image.layers.length} layers, and its configuration tells of ${config.diffIds.length}`,
    );
  }
  return { config, bytes };
}
