import type { KeySettings } from "../environment.ts";
import { createEphemeralKeyProvider } from "./ephemeral.ts";
import { createGoogleFederatedKeyProvider } from "./google-federated.ts";
import type { KeyProvider } from "./key-provider.ts";

/** The provider that the settings ask for. A key in a cloud is fetched in the background, this does not wait for it. */
export function createKeyProvider(
  settings: KeySettings,
  onFailure: (error: unknown) => void,
): Promise<KeyProvider> {
  if (settings.kind === "ephemeral") return createEphemeralKeyProvider();
  return Promise.resolve(createGoogleFederatedKeyProvider(settings, { onFailure }));
}
