import type { Api } from "./api.ts";
import { GoogleError } from "./google-error.ts";
import type { OrgPolicy, World } from "./world.ts";

/** Constraints that exist, and whether they are switches. Those that are not hold lists of values. */
const CONSTRAINTS: ReadonlyMap<string, "boolean" | "list"> = new Map([
  ["compute.vmExternalIpAccess", "list"],
  ["compute.trustedImageProjects", "list"],
  ["compute.requireShieldedVm", "boolean"],
  ["compute.requireOsLogin", "boolean"],
  ["compute.restrictNonConfidentialComputing", "list"],
  ["compute.disableSerialPortAccess", "boolean"],
  ["compute.restrictLoadBalancerCreationForTypes", "list"],
  ["compute.skipDefaultNetworkCreation", "boolean"],
  ["gcp.resourceLocations", "list"],
  ["gcp.restrictServiceUsage", "list"],
  ["gcp.restrictNonCmekServices", "list"],
  ["iam.workloadIdentityPoolProviders", "list"],
  ["iam.disableServiceAccountCreation", "boolean"],
  ["iam.allowedPolicyMemberDomains", "list"],
  ["iam.automaticIamGrantsForDefaultServiceAccounts", "boolean"],
]);

/** What the organization allows in a project (orgpolicy v2). */
export function createOrgPolicy(world: World): Api {
  return {
    name: "orgpolicy",
    title: "Organization Policy API",
    documents: ["orgpolicy.v2.json"],
    projectNeeds: { service: true, billing: false },
    handlers: {
      "orgpolicy.projects.policies.getEffectivePolicy": ({ params, caller }) => {
        const project = world.project(params["projectsId"] ?? "");
        world.requirePermission(caller, "orgpolicy.policy.get", `projects/${project.projectId}`);
        const constraint = params["policiesId"] ?? "";
        const kind = CONSTRAINTS.get(constraint);
        if (kind === undefined) {
          throw new GoogleError("NOT_FOUND", `Constraint constraints/${constraint} was not found.`);
        }
        const policy = project.orgPolicies.get(constraint) ?? defaultOf(kind);
        return {
          name: `projects/${project.projectNumber}/policies/${constraint}`,
          spec: { rules: [toRule(policy)] },
        };
      },
    },
  };
}

function defaultOf(kind: "boolean" | "list"): OrgPolicy {
  return kind === "boolean" ? { enforce: false } : { allowAll: true };
}

function toRule(policy: OrgPolicy): Readonly<Record<string, unknown>> {
  return "allowedValues" in policy ? { values: { allowedValues: policy.allowedValues } } : { ...policy };
}
