import { listBlobs } from "./image.ts";
import type { Image } from "./image.ts";
import { parseManifest, requireRunnable } from "./manifest.ts";
import type { Descriptor } from "./manifest.ts";
import type { RegistryClient, RepositoryName } from "./registry/registry-client.ts";

/** Blobs on their way at once: enough to hide the round trips, few enough for a slow uplink. */
const CONCURRENT_BLOBS = 3;

export type BlobOutcome = "present" | "mounted" | "uploaded";

/** How many blobs, the configuration among them, came how to where they are. */
export type PushCounts = Readonly<Record<BlobOutcome, number>>;

export interface PushOptions {
  readonly registry: RegistryClient;
  readonly repository: RepositoryName;
  /** Undefined: the image can be had by its digest only. */
  readonly tag: string | undefined;
  /** A repository of the same registry that may have the layers already: they need no upload then. */
  readonly mountFrom?: string;
  readonly signal: AbortSignal;
  readonly onProgress: (blob: Descriptor, outcome: BlobOutcome) => void;
}

/**
 * Puts an image into a repository: layers, configuration, and at the very end the manifest. Whatever ends it before, no
 * manifest there names what is not there; blobs that nothing names are removed by the registry (distribution-spec,
 * "Pushing manifests").
 *
 * @throws {PolarisError} IMAGE_INVALID for foreign layers and other artefacts; and what the client throws
 */
export async function pushImage(image: Image, options: PushOptions): Promise<PushCounts> {
  const { registry, repository, tag } = options;
  requireRunnable(parseManifest(image.manifest.bytes, image.manifest.mediaType));
  const counts = { present: 0, mounted: 0, uploaded: 0 };
  const failure = new AbortController();
  const signal = AbortSignal.any([options.signal, failure.signal]);
  const rest = listBlobs(image).values();
  const pushRest = async (): Promise<void> => {
    for (const blob of rest) {
      signal.throwIfAborted();
      const outcome = await registry.writeBlob(repository, blob, () => image.openBlob(blob, signal), {
        ...(options.mountFrom === undefined ? {} : { mountFrom: options.mountFrom }),
        signal,
      });
      counts[outcome] += 1;
      options.onProgress(blob, outcome);
    }
  };
  const workers = Array.from({ length: CONCURRENT_BLOBS }, async () => {
    try {
      await pushRest();
    } catch (error) {
      failure.abort(error);
      throw error;
    }
  });
  // All of them have to end before anybody is told: a file that one reads may be removed then.
  await Promise.allSettled(workers);
  signal.throwIfAborted();
  const manifest = { ...repository, tag, digest: tag === undefined ? image.manifest.digest : undefined };
  // Registries with tags that never change refuse the same manifest a second time.
  if ((await registry.findManifest(manifest, signal)) !== image.manifest.digest) {
    await registry.writeManifest(repository, image.manifest, tag, signal);
  }
  return counts;
}
