import type { Descriptor } from "./manifest.ts";

/** Bytes of a manifest or index, whose digest has been checked or computed. */
export interface ManifestBytes {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  /** `sha256:` and 64 hex digits. */
  readonly digest: string;
}

/** An image for one platform, wherever it is: in a registry, in a layout on disk, or just built. */
export interface Image {
  readonly manifest: ManifestBytes;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  /**
   * The bytes of the configuration or of a layer, as they are stored. Throws IMAGE_DIGEST_MISMATCH at the end if they are
   * not what the descriptor says: whoever keeps them must wait for the end.
   */
  readonly openBlob: (blob: Descriptor, signal: AbortSignal) => AsyncIterable<Uint8Array>;
}

/** The configuration and the layers of an image, each digest once: a layer may be in an image twice. */
export function listBlobs({ config, layers }: Image): Descriptor[] {
  return [...new Map([config, ...layers].map((blob) => [blob.digest, blob])).values()];
}

/** Bytes in memory in the form in which blobs are opened. */
export async function* streamBytes(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
