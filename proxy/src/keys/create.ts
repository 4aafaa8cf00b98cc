import type { KeySettings } from "../environment.ts";
import { createEphemeralKeyProvider } from "./ephemeral.ts";
import { createGoogleFederatedKeyProvider } from "./google-federated.ts";
import type { KeyProvider } from "./key-provider.ts";

/**
 * The provider that the settings ask for. A key in a cloud is fetched in the background, this does not wait for it.
 *
 * @param onFailure  told of every failed attempt to get at a key in a cloud
 * @param maxQueuedUnwraps  private operations that may wait for their turn
 */
export function createKeyProvider(
  settings: KeySettings,
  onFailure: (error: unknown) => void,
  maxQueuedUnwraps: number,
): Promise<KeyProvider> {
  if (settings.kind === "ephemeral") return createEphemeralKeyProvider(maxQueuedUnwraps);
  return Promise.resolve(createGoogleFederatedKeyProvider(settings, { onFailure, maxQueuedUnwraps }));
}
