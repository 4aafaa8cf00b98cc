import type { KeyStore } from "@polaris-cvm/stacks/local/trust/kms-store.ts";
import type { Api } from "./api.ts";
import { keyMethods } from "./kms/key-methods.ts";
import { Keys } from "./kms/keys.ts";
import { kmsLocations, locationMethods } from "./kms/locations.ts";
import { ringMethods } from "./kms/ring-methods.ts";
import { versionMethods } from "./kms/version-methods.ts";
import type { World } from "./world.ts";

export interface KmsApiOptions {
  readonly store: KeyStore;
  /** Locations that have no hardware modules. */
  readonly locationsWithoutHsm: readonly string[];
}

/** Cloud Key Management Service, for keys that decrypt. */
export function createKmsApi(world: World, options: KmsApiOptions): Api {
  const keys = new Keys(world, options.store);
  const locations = kmsLocations(options.locationsWithoutHsm);
  return {
    name: "cloudkms",
    title: "Cloud Key Management Service (KMS) API",
    documents: ["cloudkms.v1.json"],
    handlers: {
      ...locationMethods(world, locations),
      ...ringMethods(world, keys, locations),
      ...keyMethods(world, keys, locations),
      ...versionMethods(world, keys),
    },
  };
}
