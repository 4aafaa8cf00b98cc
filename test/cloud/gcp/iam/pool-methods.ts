import * as z from "zod";
import type { Call, Handler } from "../api.ts";
import { GoogleError } from "../google-error.ts";
import { policyMethods } from "../iam-policy-methods.ts";
import { maskFields } from "../update-mask.ts";
import type { World } from "../world.ts";
import { alreadyExists, type IdentityPools, notFound, type Pool, poolName } from "./identity-pools.ts";
import type { BeginOperation } from "./operation-names.ts";
import { checkId, checkTexts } from "./pool-texts.ts";
import { formatState, SoftDeletedMap } from "./soft-deleted.ts";

const METHODS = "iam.projects.locations.workloadIdentityPools";

const poolSchema = z.object({
  displayName: z.string().optional(),
  description: z.string().optional(),
  disabled: z.boolean().optional(),
  mode: z.string().optional(),
});

/** Workload identity pools: made, changed, deleted and brought back by operations. */
export function poolMethods(
  world: World,
  pools: IdentityPools,
  begin: BeginOperation,
): Readonly<Record<string, Handler>> {
  const require = (call: Call, verb: string, resource: string): void =>
    world.requirePermission(call.caller, `iam.workloadIdentityPools.${verb}`, resource);
  const requirePool = (call: Call, verb: string): Pool => {
    const name = call.params["name"] ?? call.params["resource"] ?? "";
    require(call, verb, name);
    return pools.pool(name);
  };

  return {
    [`${METHODS}.create`]: (call) => {
      const parent = call.params["parent"] ?? "";
      require(call, "create", parent);
      requireGlobal(call);
      const id = call.query.get("workloadIdentityPoolId") ?? "";
      checkId(id, "workload_identity_pool_id");
      const settings = poolSchema.parse(call.body);
      checkTexts(settings);
      const project = world.project(call.params["projectsId"] ?? "");
      const ofProject = pools.ofProject(project);
      if (ofProject.isTaken(id)) throw alreadyExists();
      const pool: Pool = {
        project,
        id,
        settings,
        isMade: false,
        deletedAtMs: undefined,
        providers: new SoftDeletedMap(world.now),
      };
      ofProject.add(pool);
      return begin(poolName(pool), "WorkloadIdentityPool", () => {
        pool.isMade = true;
        return toJson(pool);
      });
    },
    [`${METHODS}.get`]: (call) => toJson(requirePool(call, "get")),
    [`${METHODS}.list`]: (call) => {
      require(call, "list", call.params["parent"] ?? "");
      requireGlobal(call);
      const showDeleted = call.query.get("showDeleted") === "true";
      const found = pools.ofProject(world.project(call.params["projectsId"] ?? "")).list({ showDeleted });
      return found.length === 0 ? {} : { workloadIdentityPools: found.map(toJson) };
    },
    [`${METHODS}.patch`]: (call) => {
      const pool = requirePool(call, "update");
      requireActive(pool);
      const changed = poolSchema.parse(call.body);
      checkTexts(changed);
      const settings = { ...pool.settings };
      for (const field of maskFields(call.query.get("updateMask") ?? "")) {
        if (field !== "displayName" && field !== "description" && field !== "disabled" && field !== "mode") {
          throw new GoogleError("INVALID_ARGUMENT", `Invalid field mask: ${field} cannot be updated.`);
        }
        Object.assign(settings, { [field]: changed[field] });
      }
      return begin(poolName(pool), "WorkloadIdentityPool", () => {
        pool.settings = settings;
        return toJson(pool);
      });
    },
    [`${METHODS}.delete`]: (call) => {
      const pool = requirePool(call, "delete");
      requireActive(pool);
      return begin(poolName(pool), "WorkloadIdentityPool", () => {
        pool.deletedAtMs = world.now();
        return toJson(pool);
      });
    },
    [`${METHODS}.undelete`]: (call) => {
      const pool = requirePool(call, "undelete");
      if (pool.deletedAtMs === undefined) {
        throw new GoogleError("FAILED_PRECONDITION", `The pool ${poolName(pool)} is not deleted.`);
      }
      return begin(poolName(pool), "WorkloadIdentityPool", () => {
        pool.deletedAtMs = undefined;
        return toJson(pool);
      });
    },
    // Rules of managed workloads, which nobody here has; clients ask for them all the same.
    [`${METHODS}.listAttestationRules`]: (call) => {
      requirePool(call, "get");
      return {};
    },
    ...policyMethods(world, {
      methods: METHODS,
      permissions: "iam.workloadIdentityPools",
      find: (name) => world.canonicalName(poolName(pools.pool(name))),
    }),
  };
}

/** @throws {GoogleError} FAILED_PRECONDITION for a deleted pool: first it must be brought back */
export function requireActive(pool: Pool): void {
  if (pool.deletedAtMs !== undefined) {
    throw new GoogleError("FAILED_PRECONDITION", `The pool ${poolName(pool)} is in the state DELETED.`);
  }
}

function requireGlobal(call: Call): void {
  // Pools are in the one location that is everywhere; others are not found.
  if (call.params["locationsId"] !== "global") throw notFound();
}

function toJson(pool: Pool): unknown {
  const { displayName = "", description = "", disabled = false, mode } = pool.settings;
  return {
    name: poolName(pool),
    ...formatState(pool),
    ...(displayName === "" ? {} : { displayName }),
    ...(description === "" ? {} : { description }),
    ...(disabled ? { disabled } : {}),
    ...(mode === undefined ? {} : { mode }),
  };
}
