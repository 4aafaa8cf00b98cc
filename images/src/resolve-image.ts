import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { Image, ManifestBytes } from "./image.ts";
import { formatImageReference } from "./image-reference.ts";
import type { ImageReference } from "./image-reference.ts";
import { isIndexType, isManifestType, MAX_MANIFEST_BYTES, parseIndex, parseManifest } from "./manifest.ts";
import type { ImageConfig } from "./manifest.ts";
import { findPlatform, PLATFORM } from "./platform.ts";
import { readImageConfig } from "./read-image-config.ts";
import type { RegistryClient } from "./registry/registry-client.ts";

/** As much of a registry as finding out about an image takes. */
export type ImageReader = Pick<RegistryClient, "readManifest" | "readBlob">;

/** What a reference names in its registry now. */
export interface ResolvedImage {
  /** Canonical, with the tag and the digest as they were asked for. */
  readonly reference: string;
  /** Of what the reference names: an index, or the image itself. */
  readonly digest: string;
  readonly mediaType: string;
  /** Of the image for linux/amd64; the same as `digest` where there is no index. */
  readonly platformDigest: string;
  readonly platformMediaType: string;
  readonly config: ImageConfig;
  readonly image: Image;
}

/**
 * Asks a registry what a reference names, and chooses the image for linux/amd64 (image-spec, "Image Index"). No layer is
 * read.
 *
 * @throws {PolarisError} IMAGE_PLATFORM_MISSING; IMAGE_INVALID for what is no image, or has foreign layers;
 *   IMAGE_TOO_LARGE for a configuration or manifest that is longer than any real one; and what the client throws
 */
export async function resolveImage(
  reference: ImageReference,
  registry: ImageReader,
  signal: AbortSignal,
): Promise<ResolvedImage> {
  const name = formatImageReference(reference);
  try {
    const named = await registry.readManifest(reference, signal);
    const manifest = await choosePlatform(named, reference, registry, signal);
    const { config: configBlob, layers } = parseManifest(manifest.bytes, manifest.mediaType);
    const openBlob: Image["openBlob"] = (blob, blobSignal) => registry.readBlob(reference, blob, blobSignal);
    const image: Image = { manifest, config: configBlob, layers, openBlob };
    const { config } = await readImageConfig(image, { subject: "the image", signal });
    return {
      reference: name,
      digest: named.digest,
      mediaType: named.mediaType,
      platformDigest: manifest.digest,
      platformMediaType: manifest.mediaType,
      config,
      image,
    };
  } catch (error) {
    throw withName(name, error);
  }
}

async function choosePlatform(
  named: ManifestBytes,
  reference: ImageReference,
  registry: ImageReader,
  signal: AbortSignal,
): Promise<ManifestBytes> {
  if (isManifestType(named.mediaType)) return named;
  if (!isIndexType(named.mediaType)) {
    throw new PolarisError("IMAGE_INVALID", `it is of an unknown kind, ${JSON.stringify(named.mediaType)}`, {
      hint: "expected an OCI image or index, or one of Docker's schema 2: push it again with a current tool",
    });
  }
  const chosen = findPlatform(parseIndex(named.bytes, named.mediaType));
  if (chosen.size > MAX_MANIFEST_BYTES) {
    throw new PolarisError(
      "IMAGE_TOO_LARGE",
      `the manifest for ${PLATFORM} is announced with ${chosen.size} bytes; ${MAX_MANIFEST_BYTES} is the most that is read`,
    );
  }
  const manifest = await registry.readManifest(
    { ...reference, tag: undefined, digest: chosen.digest },
    signal,
  );
  if (manifest.mediaType !== chosen.mediaType || manifest.bytes.length !== chosen.size) {
    throw new PolarisError(
      "IMAGE_INVALID",
      `the manifest for ${PLATFORM} has another kind or length than the index says`,
    );
  }
  return manifest;
}

/** What is wrong with an image is of no use without its name; the client's own messages have it. */
function withName(name: string, error: unknown): unknown {
  if (!(error instanceof PolarisError) || error.message.includes(name)) return error;
  if (!NAMELESS.has(error.code)) return error;
  return new PolarisError(error.code, `${name}: ${error.message}`, {
    ...(error.hint !== undefined && { hint: error.hint }),
    ...(error.details !== undefined && { details: error.details }),
    cause: error,
  });
}

const NAMELESS: ReadonlySet<string> = new Set(["IMAGE_INVALID", "IMAGE_PLATFORM_MISSING", "IMAGE_TOO_LARGE"]);
