import type { Image } from "@polaris-cvm/images/image.ts";
import type { ImageReference } from "@polaris-cvm/images/image-reference.ts";
import type { KeptImages } from "@polaris-cvm/images/kept-images.ts";
import type { RegistryClient } from "@polaris-cvm/images/registry/registry-client.ts";
import type { ResolvedImage } from "@polaris-cvm/images/resolve-image.ts";
import { isPolarisError } from "@polaris-cvm/sdk/errors";
import type { ImagePin } from "@polaris-cvm/stacks/lock-file/schema.ts";
import { cacheFolder, processEnvironment } from "./process-environment.ts";
import type { CommandContext } from "./run-command.ts";

/** Registries, asked with the logins of this user. */
export interface ImageRegistry extends AsyncDisposable {
  /** Its connections are closed with the registry. Logins are looked for at the first call: most commands need none. */
  readonly connect: () => Promise<RegistryClient>;
  /** What a reference names now; told on stderr, because it may take a while. */
  readonly resolve: (reference: ImageReference) => Promise<ResolvedImage>;
  /**
   * The image that a pin names, wherever its tag points by now. A registry is asked once: what it says is kept on this
   * machine, except for the layers.
   */
  readonly openPinned: (pin: ImagePin) => Promise<Image>;
  readonly signal: AbortSignal;
}

export function openImageRegistry(context: CommandContext): ImageRegistry {
  const { signal } = context;
  let client: RegistryClient | undefined;
  /** By the digests of their manifests. */
  const resolved = new Map<string, Image>();

  const connect = async (): Promise<RegistryClient> => {
    const { createRegistryClient } = await import("@polaris-cvm/images/registry/registry-client.ts");
    const { createCredentialSource } = await import("@polaris-cvm/images/registry/credentials.ts");
    const { readOutboundProxy } = await import("@polaris-cvm/images/registry/outbound-proxy.ts");
    client ??= createRegistryClient({
      credentials: createCredentialSource(processEnvironment),
      proxy: readOutboundProxy(processEnvironment),
    });
    return client;
  };

  const resolve = async (reference: ImageReference): Promise<ResolvedImage> => {
    const { formatImageReference } = await import("@polaris-cvm/images/image-reference.ts");
    const { resolveImage } = await import("@polaris-cvm/images/resolve-image.ts");
    const connected = await connect();
    context.note(`asking ${reference.registry} for ${formatImageReference(reference)}`);
    const found = await resolveImage(reference, connected, signal);
    resolved.set(found.platformDigest, found.image);
    return found;
  };

  const openPinned = async ({ reference, platformDigest, platformMediaType }: ImagePin): Promise<Image> => {
    const { parseImageReference } = await import("@polaris-cvm/images/image-reference.ts");
    const kept = await openKept();
    const named = { ...parseImageReference(reference), digest: platformDigest };
    const openLayer: Image["openBlob"] = async function* (blob, blobSignal) {
      yield* (await connect()).readBlob(named, blob, blobSignal);
    };
    const found = await kept.find({ digest: platformDigest, mediaType: platformMediaType }, openLayer);
    if (found !== undefined) return found;
    const image = resolved.get(platformDigest) ?? (await resolve(named)).image;
    await kept.keep(image, signal);
    return image;
  };

  return {
    connect,
    resolve,
    openPinned,
    signal,
    [Symbol.asyncDispose]: async () => {
      await client?.close();
    },
  };
}

/** Where nothing can be kept, nothing is found either, and registries are asked each time. */
async function openKept(): Promise<KeptImages> {
  const { openKeptImages } = await import("@polaris-cvm/images/kept-images.ts");
  const { makeFolder } = await import("@polaris-cvm/stacks/make-folder.ts");
  const folder = cacheFolder("images");
  try {
    await makeFolder(folder, 0o700);
  } catch (error) {
    if (!isPolarisError(error)) throw error;
  }
  return openKeptImages(folder);
}
