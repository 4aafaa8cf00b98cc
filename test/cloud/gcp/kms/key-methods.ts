import type { Handler } from "../api.ts";
import { GoogleError } from "../google-error.ts";
import { policyMethods } from "../iam-policy-methods.ts";
import { checkLabels } from "../resource-labels.ts";
import { maskFields } from "../update-mask.ts";
import type { World } from "../world.ts";
import {
  ALGORITHM,
  checkChangedAlgorithm,
  checkKmsId,
  checkNewKey,
  keySchema,
  PURPOSE,
} from "./key-rules.ts";
import type { Keys, StoredKey } from "./keys.ts";
import type { KmsLocations } from "./locations.ts";

const METHODS = "cloudkms.projects.locations.keyRings.cryptoKeys";

/** Crypto keys: what they are never changes but for their labels, and a name that was used stays used. */
export function keyMethods(
  world: World,
  keys: Keys,
  locations: KmsLocations,
): Readonly<Record<string, Handler>> {
  const toJson = (key: StoredKey): unknown => ({
    name: key.name,
    purpose: PURPOSE,
    createTime: new Date(keys.store.createdAtMs(key.name)).toISOString(),
    versionTemplate: { protectionLevel: key.protectionLevel, algorithm: ALGORITHM },
    destroyScheduledDuration: `${key.destroyScheduledSeconds}s`,
    ...(Object.keys(key.labels).length === 0 ? {} : { labels: key.labels }),
  });
  return {
    [`${METHODS}.create`]: async ({ params, query, body, caller }) => {
      const ring = params["parent"] ?? "";
      world.requirePermission(caller, "cloudkms.cryptoKeys.create", ring);
      keys.ring(ring);
      const id = query.get("cryptoKeyId") ?? "";
      checkKmsId(id, "crypto_key_id");
      const place = { location: params["locationsId"] ?? "", locations };
      const key = keys.addKey(`${ring}/cryptoKeys/${id}`, checkNewKey(keySchema.parse(body), place));
      if (query.get("skipInitialVersionCreation") !== "true") await keys.store.create(key.name);
      return toJson(key);
    },
    [`${METHODS}.get`]: ({ params, caller }) => {
      const name = params["name"] ?? "";
      world.requirePermission(caller, "cloudkms.cryptoKeys.get", name);
      return toJson(keys.key(name));
    },
    [`${METHODS}.list`]: ({ params, caller }) => {
      const ring = params["parent"] ?? "";
      world.requirePermission(caller, "cloudkms.cryptoKeys.list", ring);
      keys.ring(ring);
      const cryptoKeys = keys.keysBelow(ring).map(toJson);
      return cryptoKeys.length === 0 ? {} : { cryptoKeys, totalSize: cryptoKeys.length };
    },
    [`${METHODS}.patch`]: ({ params, query, body, caller }) => {
      const name = params["name"] ?? "";
      world.requirePermission(caller, "cloudkms.cryptoKeys.update", name);
      let key = keys.key(name);
      const asked = keySchema.parse(body);
      for (const field of maskFields(query.get("updateMask") ?? "")) {
        if (field === "labels") {
          checkLabels(asked.labels ?? {});
          key = keys.setLabels(key, asked.labels ?? {});
        } else if (field === "versionTemplate.algorithm") {
          checkChangedAlgorithm(asked.versionTemplate?.algorithm);
        } else {
          throw new GoogleError(
            "INVALID_ARGUMENT",
            `The field ${field} of ${key.name} is immutable, or there is no such field.`,
          );
        }
      }
      return toJson(key);
    },
    [`${METHODS}.delete`]: ({ params, caller }) => {
      const name = params["name"] ?? "";
      world.requirePermission(caller, "cloudkms.cryptoKeys.delete", name);
      throw new GoogleError(
        "FAILED_PRECONDITION",
        `CryptoKey ${keys.key(name).name} cannot be deleted: its versions must be deleted before.`,
      );
    },
    ...policyMethods(world, {
      methods: METHODS,
      permissions: "cloudkms.cryptoKeys",
      find: (name) => keys.key(name).name,
    }),
  };
}
