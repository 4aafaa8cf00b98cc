import type { ImageReference } from "@polaris-cvm/images/image-reference.ts";
import type { RegistryClient } from "@polaris-cvm/images/registry/registry-client.ts";
import type { ResolvedImage } from "@polaris-cvm/images/resolve-image.ts";
import { processEnvironment } from "./process-environment.ts";
import type { CommandContext } from "./run-command.ts";

/** Registries, asked with the logins of this user. */
export interface ImageRegistry extends AsyncDisposable {
  /** Its connections are closed with the registry. Logins are looked for at the first call: most commands need none. */
  readonly connect: () => Promise<RegistryClient>;
  /** What a reference names now; told on stderr, because it may take a while. */
  readonly resolve: (reference: ImageReference) => Promise<ResolvedImage>;
}

export function openImageRegistry(context: CommandContext): ImageRegistry {
  let client: RegistryClient | undefined;
  const connect = async (): Promise<RegistryClient> => {
    const { createRegistryClient } = await import("@polaris-cvm/images/registry/registry-client.ts");
    const { createCredentialSource } = await import("@polaris-cvm/images/registry/credentials.ts");
    client ??= createRegistryClient({ credentials: createCredentialSource(processEnvironment) });
    return client;
  };
  return {
    connect,
    resolve: async (reference) => {
      const { formatImageReference } = await import("@polaris-cvm/images/image-reference.ts");
      const { resolveImage } = await import("@polaris-cvm/images/resolve-image.ts");
      const connected = await connect();
      context.note(`asking ${reference.registry} for ${formatImageReference(reference)}`);
      return await resolveImage(reference, connected, context.signal);
    },
    [Symbol.asyncDispose]: async () => {
      await client?.close();
    },
  };
}
