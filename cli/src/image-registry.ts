import type { ImageReference, RepositoryName } from "@polaris-cvm/images/image-reference.ts";
import type { KeptImages } from "@polaris-cvm/images/kept-images.ts";
import type { RegistryClient } from "@polaris-cvm/images/registry/registry-client.ts";
import type { ImageReader, ResolvedImage } from "@polaris-cvm/images/resolve-image.ts";
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
   * What the bytes of a pin's digest say, wherever its tag points by now. A registry is asked once: what it says is kept on
   * this machine, except for the layers.
   */
  readonly readPinned: (pin: ImagePin) => Promise<ResolvedImage>;
  /** The same without asking a registry; undefined where not all of it is kept. */
  readonly findPinned: (pin: ImagePin) => Promise<ResolvedImage | undefined>;
  readonly signal: AbortSignal;
}

export function openImageRegistry(context: CommandContext): ImageRegistry {
  const { signal } = context;
  let client: RegistryClient | undefined;
  let kept: Promise<KeptImages> | undefined;
  /** By repository and digest: of use where nothing can be kept. */
  const resolved = new Map<string, ResolvedImage>();

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

  /** Tells that a registry is asked, before the first time that it is. */
  const askFor = async (reference: ImageReference): Promise<ImageReader> => {
    const { formatImageReference } = await import("@polaris-cvm/images/image-reference.ts");
    let isTold = false;
    return {
      async readManifest(of, readSignal) {
        const connected = await connect();
        if (!isTold) context.note(`asking ${reference.registry} for ${formatImageReference(reference)}`);
        isTold = true;
        return await connected.readManifest(of, readSignal);
      },
      async *readBlob(repository, blob, readSignal) {
        yield* (await connect()).readBlob(repository, blob, readSignal);
      },
    };
  };

  const resolve = async (reference: ImageReference): Promise<ResolvedImage> => {
    const { resolveImage } = await import("@polaris-cvm/images/resolve-image.ts");
    const { createKeepingReader } = await import("@polaris-cvm/images/kept-reader.ts");
    const reader = createKeepingReader(await (kept ??= openKept()), await askFor(reference));
    const found = await resolveImage(reference, reader, signal);
    resolved.set(nameOf(reference, found.digest), found);
    return found;
  };

  const readPinned = async ({ reference, digest }: ImagePin): Promise<ResolvedImage> => {
    const { parseImageReference } = await import("@polaris-cvm/images/image-reference.ts");
    const { resolveImage } = await import("@polaris-cvm/images/resolve-image.ts");
    const { createKeptReader } = await import("@polaris-cvm/images/kept-reader.ts");
    const named = { ...parseImageReference(reference), digest };
    const known = resolved.get(nameOf(named, digest));
    if (known !== undefined) return known;
    const reader = createKeptReader(await (kept ??= openKept()), await askFor(named));
    const found = await resolveImage(named, reader, signal);
    resolved.set(nameOf(named, digest), found);
    return found;
  };

  const findPinned = async ({ reference, digest }: ImagePin): Promise<ResolvedImage | undefined> => {
    const { parseImageReference } = await import("@polaris-cvm/images/image-reference.ts");
    const { resolveImage } = await import("@polaris-cvm/images/resolve-image.ts");
    const { createKeptReader, NO_REGISTRY } = await import("@polaris-cvm/images/kept-reader.ts");
    const reader = createKeptReader(await (kept ??= openKept()), NO_REGISTRY);
    try {
      return await resolveImage({ ...parseImageReference(reference), digest }, reader, signal);
    } catch (error) {
      if (isPolarisError(error) && error.code === "IMAGE_NOT_FOUND") return undefined;
      throw error;
    }
  };

  return {
    connect,
    resolve,
    readPinned,
    findPinned,
    signal,
    [Symbol.asyncDispose]: async () => {
      await client?.close();
    },
  };
}

/** As whoever pulls it would call it. */
function nameOf({ registry, repository }: RepositoryName, digest: string): string {
  return `${registry}/${repository}@${digest}`;
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
