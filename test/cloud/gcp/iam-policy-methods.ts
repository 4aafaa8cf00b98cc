import * as z from "zod";
import type { Call, Handler } from "./api.ts";
import type { World } from "./world.ts";

/** What has a policy of its own: crypto keys, repositories, secrets, service accounts. */
export interface PolicyHolders {
  /** Method ids without the last part: `cloudkms.projects.locations.keyRings`. */
  readonly methods: string;
  /** Permissions without the last part: `cloudkms.keyRings`. */
  readonly permissions: string;
  /** The name that the policy is kept by. Throws a `GoogleError` NOT_FOUND if there is no such resource. */
  find(name: string): string;
}

const policySchema = z.object({
  policy: z
    .object({
      etag: z.string().optional(),
      bindings: z
        .array(
          z.object({
            role: z.string().optional(),
            members: z.array(z.string()).optional(),
            condition: z.unknown().optional(),
          }),
        )
        .optional(),
    })
    .default({}),
});
const permissionsSchema = z.object({ permissions: z.array(z.string()).default([]) });

/** `getIamPolicy`, `setIamPolicy` and `testIamPermissions`, which are the same for every resource that has a policy. */
export function policyMethods(world: World, holders: PolicyHolders): Readonly<Record<string, Handler>> {
  const requireOn = (call: Call, verb: string): string => {
    const resource = call.params["resource"] ?? "";
    world.requirePermission(call.caller, `${holders.permissions}.${verb}`, resource);
    return holders.find(resource);
  };
  return {
    [`${holders.methods}.getIamPolicy`]: (call) => world.policies.get(requireOn(call, "getIamPolicy")),
    [`${holders.methods}.setIamPolicy`]: (call) => {
      const name = requireOn(call, "setIamPolicy");
      const { etag, bindings } = policySchema.parse(call.body).policy;
      return world.policies.set(name, {
        ...(etag === undefined ? {} : { etag }),
        bindings: (bindings ?? []).map(({ role, members, condition }) => ({
          ...(role === undefined ? {} : { role }),
          ...(members === undefined ? {} : { members }),
          ...(condition === undefined ? {} : { condition }),
        })),
      });
    },
    [`${holders.methods}.testIamPermissions`]: (call) => {
      const resource = call.params["resource"] ?? "";
      const { permissions } = permissionsSchema.parse(call.body);
      const granted = permissions.filter((name) => world.hasPermission(call.caller, name, resource));
      return granted.length === 0 ? {} : { permissions: granted };
    },
  };
}
