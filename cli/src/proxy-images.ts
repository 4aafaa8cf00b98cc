import type { BuiltImage } from "@polaris-cvm/images/proxy-image.ts";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { LockedStack } from "@polaris-cvm/stacks/lock-stack.ts";
import { openImageRegistry } from "./image-registry.ts";
import type { CommandContext } from "./run-command.ts";

/** The proxy image that the lock has, made by this installation. */
export interface ProxyImages extends AsyncDisposable {
  /** Built at the first call: a stack of programs needs none. */
  readonly open: () => Promise<BuiltImage>;
}

export function openProxyImages(
  context: CommandContext,
  { proxyParts, stackLock: { proxy } }: LockedStack,
): ProxyImages {
  const registry = openImageRegistry(context);
  let image: Promise<BuiltImage> | undefined;
  const build = async (): Promise<BuiltImage> => {
    const { buildLockedProxy } = await import("@polaris-cvm/stacks/lock-file/locked-proxy.ts");
    if (proxyParts === undefined || proxy === undefined) {
      throw new PolarisError("INTERNAL", "a stack of programs has no image of the proxy");
    }
    return await buildLockedProxy(proxyParts, proxy, registry);
  };
  return {
    open: () => (image ??= build()),
    // Layers of the base are read from the registry as long as the image is in use.
    [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
  };
}
