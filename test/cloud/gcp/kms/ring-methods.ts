import type { Handler } from "../api.ts";
import { GoogleError } from "../google-error.ts";
import { policyMethods } from "../iam-policy-methods.ts";
import type { World } from "../world.ts";
import { checkKmsId } from "./key-rules.ts";
import type { Keys } from "./keys.ts";
import type { KmsLocations } from "./locations.ts";

const METHODS = "cloudkms.projects.locations.keyRings";

/** Key rings: made once, and there for ever. */
export function ringMethods(
  world: World,
  keys: Keys,
  locations: KmsLocations,
): Readonly<Record<string, Handler>> {
  return {
    [`${METHODS}.create`]: ({ params, query, caller }) => {
      const parent = params["parent"] ?? "";
      world.requirePermission(caller, "cloudkms.keyRings.create", parent);
      locations.check(params["locationsId"] ?? "");
      const id = query.get("keyRingId") ?? "";
      checkKmsId(id, "key_ring_id");
      return keys.addRing(`${parent}/keyRings/${id}`);
    },
    [`${METHODS}.get`]: ({ params, caller }) => {
      const name = params["name"] ?? "";
      world.requirePermission(caller, "cloudkms.keyRings.get", name);
      return keys.ring(name);
    },
    [`${METHODS}.list`]: ({ params, caller }) => {
      const parent = params["parent"] ?? "";
      world.requirePermission(caller, "cloudkms.keyRings.list", parent);
      locations.check(params["locationsId"] ?? "");
      const keyRings = keys.ringsBelow(parent);
      return keyRings.length === 0 ? {} : { keyRings, totalSize: keyRings.length };
    },
    // The document has the method, for rings whose keys were all deleted; nothing here deletes a key.
    [`${METHODS}.delete`]: ({ params, caller }) => {
      const name = params["name"] ?? "";
      world.requirePermission(caller, "cloudkms.keyRings.delete", name);
      throw new GoogleError("FAILED_PRECONDITION", `KeyRing ${keys.ring(name).name} cannot be deleted.`);
    },
    ...policyMethods(world, {
      methods: METHODS,
      permissions: "cloudkms.keyRings",
      find: (name) => keys.ring(name).name,
    }),
  };
}
