import type { Api, Call, Caller } from "./api.ts";
import { GoogleError, permissionDenied } from "./google-error.ts";
import type { Binding } from "./iam-policies.ts";
import type { Project, World } from "./world.ts";

const CREATED = "2026-01-05T08:00:00.000Z";

/** Projects and their IAM policies (cloudresourcemanager v1 and v3). */
export function createResourceManager(world: World): Api {
  function requireProject(idOrNumber: string, caller: Caller, permission: string): Project {
    const project = world.findProject(idOrNumber);
    // Google does not tell projects that are not there from those that the caller may not see.
    const refuse = (): GoogleError =>
      permission === "resourcemanager.projects.get"
        ? new GoogleError("PERMISSION_DENIED", "The caller does not have permission", { reason: "forbidden" })
        : permissionDenied("cloudresourcemanager.googleapis.com", permission, `projects/${idOrNumber}`);
    if (project === undefined) throw refuse();
    world.requirePermission(caller, permission, `projects/${project.projectId}`, refuse);
    return project;
  }

  return {
    name: "cloudresourcemanager",
    title: "Cloud Resource Manager API",
    documents: ["cloudresourcemanager.v1.json", "cloudresourcemanager.v3.json"],
    projectNeeds: { service: true, billing: false },
    unknownProject: () =>
      new GoogleError("PERMISSION_DENIED", "The caller does not have permission", { reason: "forbidden" }),
    handlers: {
      "cloudresourcemanager.projects.get": (call) => {
        const project = requireProject(projectOf(call), call.caller, "resourcemanager.projects.get");
        return call.version === "v1" ? toV1(project) : toV3(project);
      },
      "cloudresourcemanager.projects.getIamPolicy": (call) => {
        const project = requireProject(projectOf(call), call.caller, "resourcemanager.projects.getIamPolicy");
        return world.policies.get(`projects/${project.projectId}`);
      },
      "cloudresourcemanager.projects.setIamPolicy": (call) => {
        const project = requireProject(projectOf(call), call.caller, "resourcemanager.projects.setIamPolicy");
        const { policy } = call.body as {
          readonly policy?: { readonly etag?: string; readonly bindings?: readonly Partial<Binding>[] };
        };
        return world.policies.set(`projects/${project.projectId}`, policy ?? {});
      },
      "cloudresourcemanager.projects.testIamPermissions": (call) => {
        const { permissions = [] } = call.body as { readonly permissions?: readonly string[] };
        const project = world.findProject(projectOf(call));
        const wildcard = permissions.find((permission) => !/^[a-zA-Z]+(\.[a-zA-Z]+){2,}$/.test(permission));
        if (wildcard !== undefined) {
          throw new GoogleError(
            "INVALID_ARGUMENT",
            `Permission ${wildcard} is not valid for this resource.`,
            {
              reason: "badRequest",
            },
          );
        }
        const resource = `projects/${project?.projectId ?? ""}`;
        const held = permissions.filter((permission) =>
          world.hasPermission(call.caller, permission, resource),
        );
        return held.length === 0 ? {} : { permissions: held };
      },
    },
  };
}

/** v1 has the id in the path, v3 the resource name. */
function projectOf({ params }: Call): string {
  return params["projectsId"] ?? params["projectId"] ?? params["resource"] ?? "";
}

function toV1(project: Project): unknown {
  return {
    projectNumber: project.projectNumber,
    projectId: project.projectId,
    lifecycleState: project.state,
    name: project.displayName,
    createTime: CREATED,
    parent: { type: "organization", id: "987654321098" },
  };
}

function toV3(project: Project): unknown {
  return {
    name: `projects/${project.projectNumber}`,
    parent: "organizations/987654321098",
    projectId: project.projectId,
    state: project.state,
    displayName: project.displayName,
    createTime: CREATED,
    updateTime: CREATED,
    etag: 'W/"a6c3a4b0e1f2d3c4"',
  };
}
