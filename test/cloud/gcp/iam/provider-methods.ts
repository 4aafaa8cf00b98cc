import type { Call, Handler } from "../api.ts";
import { GoogleError } from "../google-error.ts";
import { maskFields } from "../update-mask.ts";
import type { World } from "../world.ts";
import { alreadyExists, type IdentityPools, type Provider, providerName } from "./identity-pools.ts";
import type { BeginOperation } from "./operation-names.ts";
import { requireActive } from "./pool-methods.ts";
import { checkId } from "./pool-texts.ts";
import { compileProvider, type ProviderSettings, providerSchema } from "./provider-settings.ts";
import { formatState } from "./soft-deleted.ts";

const METHODS = "iam.projects.locations.workloadIdentityPools.providers";
const FIELDS = [
  "displayName",
  "description",
  "disabled",
  "attributeMapping",
  "attributeCondition",
  "oidc",
  "aws",
  "saml",
  "x509",
] as const;
const OIDC_FIELDS = ["issuerUri", "allowedAudiences", "jwksJson"] as const;

/**
 * Providers of workload identity pools.
 *
 * @param ownIssuer  see {@link compileProvider}
 */
export function providerMethods(
  world: World,
  pools: IdentityPools,
  begin: BeginOperation,
  ownIssuer: string,
): Readonly<Record<string, Handler>> {
  const require = (call: Call, verb: string, resource: string): void =>
    world.requirePermission(call.caller, `iam.workloadIdentityPoolProviders.${verb}`, resource);
  const requireProvider = (call: Call, verb: string): Provider => {
    const name = call.params["name"] ?? "";
    require(call, verb, name);
    return pools.provider(name);
  };
  const requireLiving = (call: Call, verb: string): Provider => {
    const provider = requireProvider(call, verb);
    requireActive(provider.pool);
    if (provider.deletedAtMs !== undefined) {
      throw new GoogleError(
        "FAILED_PRECONDITION",
        `The provider ${providerName(provider)} is in the state DELETED.`,
      );
    }
    return provider;
  };

  return {
    [`${METHODS}.create`]: (call) => {
      const parent = call.params["parent"] ?? "";
      require(call, "create", parent);
      const pool = pools.pool(parent);
      requireActive(pool);
      const id = call.query.get("workloadIdentityPoolProviderId") ?? "";
      checkId(id, "workload_identity_pool_provider_id");
      const settings = providerSchema.parse(call.body);
      const rules = compileProvider(settings, { project: pool.project, ownIssuer });
      if (pool.providers.isTaken(id)) throw alreadyExists();
      const provider: Provider = { pool, id, settings, rules, isMade: false, deletedAtMs: undefined };
      pool.providers.add(provider);
      return begin(providerName(provider), "WorkloadIdentityPoolProvider", () => {
        provider.isMade = true;
        return toJson(provider);
      });
    },
    [`${METHODS}.get`]: (call) => toJson(requireProvider(call, "get")),
    [`${METHODS}.list`]: (call) => {
      const parent = call.params["parent"] ?? "";
      require(call, "list", parent);
      const showDeleted = call.query.get("showDeleted") === "true";
      const found = pools.pool(parent).providers.list({ showDeleted });
      return found.length === 0 ? {} : { workloadIdentityPoolProviders: found.map(toJson) };
    },
    [`${METHODS}.patch`]: (call) => {
      const provider = requireLiving(call, "update");
      const mask = maskFields(call.query.get("updateMask") ?? "");
      const settings = mergeSettings(provider.settings, providerSchema.parse(call.body), mask);
      const rules = compileProvider(settings, { project: provider.pool.project, ownIssuer });
      return begin(providerName(provider), "WorkloadIdentityPoolProvider", () => {
        provider.settings = settings;
        provider.rules = rules;
        return toJson(provider);
      });
    },
    [`${METHODS}.delete`]: (call) => {
      const provider = requireLiving(call, "delete");
      return begin(providerName(provider), "WorkloadIdentityPoolProvider", () => {
        provider.deletedAtMs = world.now();
        return toJson(provider);
      });
    },
    [`${METHODS}.undelete`]: (call) => {
      const provider = requireProvider(call, "undelete");
      requireActive(provider.pool);
      if (provider.deletedAtMs === undefined) {
        throw new GoogleError(
          "FAILED_PRECONDITION",
          `The provider ${providerName(provider)} is not deleted.`,
        );
      }
      return begin(providerName(provider), "WorkloadIdentityPoolProvider", () => {
        provider.deletedAtMs = undefined;
        return toJson(provider);
      });
    },
  };
}

/** What the mask names comes from `changed`, also where it has nothing: a condition goes away like that. */
function mergeSettings(
  settings: ProviderSettings,
  changed: ProviderSettings,
  mask: readonly string[],
): ProviderSettings {
  const merged: Record<string, unknown> = { ...settings };
  for (const path of mask) {
    const [field, inner, ...rest] = path.split(".");
    const known = FIELDS.find((name) => name === field);
    if (known === undefined || rest.length > 0) throw invalidMask(path);
    if (inner === undefined) {
      merged[known] = changed[known];
      continue;
    }
    const innerField = OIDC_FIELDS.find((name) => name === inner);
    if (known !== "oidc" || innerField === undefined) throw invalidMask(path);
    const oidc = {
      ...(merged["oidc"] as ProviderSettings["oidc"]),
      [innerField]: changed.oidc?.[innerField],
    };
    const present = Object.entries(oidc).filter(([, value]) => value !== undefined);
    // Without a single field left there is no OIDC configuration any more.
    merged["oidc"] = present.length === 0 ? undefined : Object.fromEntries(present);
  }
  return merged;
}

function invalidMask(path: string): GoogleError {
  return new GoogleError("INVALID_ARGUMENT", `Invalid field mask: ${path} cannot be updated.`);
}

function toJson(provider: Provider): unknown {
  const { displayName = "", description = "", disabled = false, oidc } = provider.settings;
  const { attributeMapping, attributeCondition = "" } = provider.settings;
  return {
    name: providerName(provider),
    ...formatState(provider),
    ...(displayName === "" ? {} : { displayName }),
    ...(description === "" ? {} : { description }),
    ...(disabled ? { disabled } : {}),
    ...(attributeMapping === undefined ? {} : { attributeMapping }),
    ...(attributeCondition === "" ? {} : { attributeCondition }),
    ...(oidc === undefined ? {} : { oidc }),
  };
}
