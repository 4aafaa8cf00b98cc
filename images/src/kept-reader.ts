import { PolarisError } from "@polaris-cvm/sdk/errors";
import { formatImageReference } from "./image-reference.ts";
import type { KeptImages } from "./kept-images.ts";
import { isConfigType, isIndexType, isManifestType, OCI_INDEX, OCI_MANIFEST } from "./manifest.ts";
import type { ImageReader } from "./resolve-image.ts";

/** Gives what is kept, and asks a registry for the rest, which is kept from then on. Layers are not. */
export function createKeptReader(kept: KeptImages, registry: ImageReader): ImageReader {
  const keeping = createKeepingReader(kept, registry);
  return {
    async readManifest(reference, signal) {
      const { digest } = reference;
      const bytes = digest === undefined ? undefined : await kept.find(digest);
      const mediaType = bytes && ownMediaType(bytes);
      if (digest === undefined || bytes === undefined || mediaType === undefined) {
        return await keeping.readManifest(reference, signal);
      }
      return { bytes, mediaType, digest };
    },
    async *readBlob(repository, blob, signal) {
      const bytes = isConfigType(blob.mediaType) ? await kept.find(blob.digest) : undefined;
      if (bytes?.length === blob.size) yield bytes;
      else yield* keeping.readBlob(repository, blob, signal);
    },
  };
}

/** Asks a registry for everything, and keeps what it says: for whoever wants to know that it is there. */
export function createKeepingReader(kept: KeptImages, registry: ImageReader): ImageReader {
  return {
    async readManifest(reference, signal) {
      const manifest = await registry.readManifest(reference, signal);
      // Only what says itself what it is can be told from its bytes again.
      if (ownMediaType(manifest.bytes) === manifest.mediaType) {
        await kept.keep(manifest.digest, manifest.bytes);
      }
      return manifest;
    },
    async *readBlob(repository, blob, signal) {
      if (!isConfigType(blob.mediaType)) return yield* registry.readBlob(repository, blob, signal);
      const pieces: Uint8Array[] = [];
      for await (const piece of registry.readBlob(repository, blob, signal)) {
        pieces.push(piece);
        yield piece;
      }
      await kept.keep(blob.digest, Buffer.concat(pieces));
    },
  };
}

/** In place of a registry where none is to be asked. */
export const NO_REGISTRY: ImageReader = {
  readManifest: (reference) => Promise.reject(notKept(formatImageReference(reference))),
  // oxlint-disable-next-line require-yield -- it has nothing to give
  async *readBlob(_repository, { digest }) {
    throw notKept(digest);
  },
};

function notKept(subject: string): PolarisError {
  return new PolarisError("IMAGE_NOT_FOUND", `${subject} is not kept on this machine`);
}

/**
 * The media type that a document has by its own account. Only OCI's kinds need not say it (image-spec, "Image Manifest");
 * undefined if it is neither manifest nor index.
 */
function ownMediaType(bytes: Uint8Array): string | undefined {
  let document: unknown;
  try {
    document = JSON.parse(Buffer.from(bytes).toString());
  } catch {
    return undefined;
  }
  if (typeof document !== "object" || document === null) return undefined;
  if (!("mediaType" in document)) return "manifests" in document ? OCI_INDEX : OCI_MANIFEST;
  const { mediaType } = document;
  if (typeof mediaType !== "string") return undefined;
  return isIndexType(mediaType) || isManifestType(mediaType) ? mediaType : undefined;
}
