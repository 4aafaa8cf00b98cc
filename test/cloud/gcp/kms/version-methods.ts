import { createKms } from "@polaris-cvm/stacks/local/trust/kms.ts";
import type { Call, Handler } from "../api.ts";
import { callTrust, toTrustCaller } from "../iam-trust-bridge.ts";
import type { World } from "../world.ts";
import type { Keys } from "./keys.ts";

const METHODS = "cloudkms.projects.locations.keyRings.cryptoKeys.cryptoKeyVersions";

/** Method → HTTP method of the key service, and what follows the resource in its path. */
const ROUTES = {
  list: ["GET", "/cryptoKeyVersions"],
  create: ["POST", "/cryptoKeyVersions"],
  get: ["GET", ""],
  patch: ["PATCH", ""],
  destroy: ["POST", ":destroy"],
  restore: ["POST", ":restore"],
  getPublicKey: ["GET", "/publicKey"],
  asymmetricDecrypt: ["POST", ":asymmetricDecrypt"],
} as const;
const OWN_PARAMETERS = [
  "pageSize",
  "pageToken",
  "view",
  "filter",
  "orderBy",
  "updateMask",
  "publicKeyFormat",
];

/** Key versions, answered by the key service of the local trust room. */
export function versionMethods(world: World, keys: Keys): Readonly<Record<string, Handler>> {
  return Object.fromEntries(
    Object.entries(ROUTES).map(([verb, [method, suffix]]) => [
      `${METHODS}.${verb}`,
      (call: Call) => callVersion(world, keys, call, method, suffix),
    ]),
  );
}

function callVersion(world: World, keys: Keys, call: Call, method: string, suffix: string): Promise<unknown> {
  const service = createKms({
    authenticate: () => toTrustCaller(call.caller),
    findCryptoKey: (name) => keys.findForService(name),
    isAllowed: (_, permission, { cryptoKey }) => world.hasPermission(call.caller, permission, cryptoKey),
    store: keys.store,
    now: world.now,
  });
  const resource = world.canonicalName(call.params["name"] ?? call.params["parent"] ?? "");
  const query = [...call.query].filter(([name]) => OWN_PARAMETERS.includes(name));
  return callTrust(service, {
    method,
    path: `/v1/${resource.split("/").map(encodeURIComponent).join("/")}${suffix}`,
    query: Object.fromEntries(query),
    ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
  });
}
