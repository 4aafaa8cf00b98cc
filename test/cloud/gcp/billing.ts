import type { Api } from "./api.ts";
import { GoogleError } from "./google-error.ts";
import type { World } from "./world.ts";

/** Which billing account pays for a project (cloudbilling v1). */
export function createBilling(world: World): Api {
  const refuse = (): GoogleError =>
    new GoogleError("PERMISSION_DENIED", "The caller does not have permission", { reason: "forbidden" });
  return {
    name: "cloudbilling",
    title: "Cloud Billing API",
    documents: ["cloudbilling.v1.json"],
    projectNeeds: { service: true, billing: false },
    unknownProject: refuse,
    handlers: {
      "cloudbilling.projects.getBillingInfo": ({ params, caller }) => {
        const project = world.project(params["projectsId"] ?? "");
        const name = `projects/${project.projectId}`;
        world.requirePermission(caller, "resourcemanager.projects.get", name, refuse);
        return {
          name: `${name}/billingInfo`,
          projectId: project.projectId,
          billingAccountName: project.billingAccount,
          billingEnabled: project.billingAccount !== "",
        };
      },
    },
  };
}
