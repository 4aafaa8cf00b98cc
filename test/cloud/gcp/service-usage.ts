import { randomUUID } from "node:crypto";
import type { Api, Call } from "./api.ts";
import { badRequest, billingDisabled, errorInfo, GoogleError } from "./google-error.ts";
import { LongRunningOperations } from "./operations.ts";
import type { Project, World } from "./world.ts";

/** Services that can be enabled: those that a stack may need, and those of a new project. */
const KNOWN_SERVICES: ReadonlyMap<string, string> = new Map([
  ["artifactregistry.googleapis.com", "Artifact Registry API"],
  ["cloudbilling.googleapis.com", "Cloud Billing API"],
  ["cloudkms.googleapis.com", "Cloud Key Management Service (KMS) API"],
  ["cloudresourcemanager.googleapis.com", "Cloud Resource Manager API"],
  ["compute.googleapis.com", "Compute Engine API"],
  ["confidentialcomputing.googleapis.com", "Confidential Computing API"],
  ["iam.googleapis.com", "Identity and Access Management (IAM) API"],
  ["iamcredentials.googleapis.com", "IAM Service Account Credentials API"],
  ["logging.googleapis.com", "Cloud Logging API"],
  ["monitoring.googleapis.com", "Cloud Monitoring API"],
  ["orgpolicy.googleapis.com", "Organization Policy API"],
  ["oslogin.googleapis.com", "Cloud OS Login API"],
  ["secretmanager.googleapis.com", "Secret Manager API"],
  ["serviceusage.googleapis.com", "Service Usage API"],
  ["sts.googleapis.com", "Security Token Service API"],
  ["storage.googleapis.com", "Cloud Storage API"],
]);
/** Services that cost money need a billing account when they are enabled. */
const PAID_SERVICES = new Set([
  "artifactregistry.googleapis.com",
  "cloudkms.googleapis.com",
  "compute.googleapis.com",
  "confidentialcomputing.googleapis.com",
  "secretmanager.googleapis.com",
]);
/** Services that cannot be used without another one, which is enabled with them. */
const IMPLIED: Readonly<Record<string, readonly string[]>> = {
  "compute.googleapis.com": ["oslogin.googleapis.com"],
  "iam.googleapis.com": ["iamcredentials.googleapis.com"],
};
const MAX_BATCH_ENABLE = 20;
const MAX_BATCH_GET = 30;
const DEFAULT_PAGE_SIZE = 50;
const MAX_PAGE_SIZE = 200;

/** Which APIs a project uses (serviceusage v1 and v1beta1). */
export function createServiceUsage(world: World): Api {
  const operations = new LongRunningOperations();
  world.onSettle(() => operations.settle());

  function projectOf({ params, caller }: Call, permission: string): Project {
    const parent = params["name"] ?? params["parent"] ?? "";
    const [collection, id = ""] = parent.split("/");
    if (collection !== "projects") throw badRequest(`Invalid consumer: ${parent}`);
    const project = world.project(id);
    world.requirePermission(
      caller,
      permission,
      `projects/${project.projectId}`,
      () =>
        new GoogleError("PERMISSION_DENIED", `Permission denied to ${verbOf(permission)} service`, {
          reason: "forbidden",
          details: [
            errorInfo("AUTH_PERMISSION_DENIED", "serviceusage.googleapis.com", {
              permission,
              resource: `projects/${project.projectNumber}`,
            }),
          ],
        }),
    );
    return project;
  }

  function enable(project: Project, services: readonly string[], type: string): unknown {
    for (const service of services) requireKnown(service);
    const paid = services.find((service) => PAID_SERVICES.has(service));
    if (paid !== undefined && project.billingAccount === "") {
      throw new GoogleError(
        "FAILED_PRECONDITION",
        `Billing account for project '${project.projectNumber}' is not found. Billing must be enabled for ` +
          `activation of service(s) '${services.join(",")}' to proceed.`,
        { reason: "failedPrecondition", details: billingDisabled(paid, project.projectNumber).details ?? [] },
      );
    }
    return begin(
      project,
      services,
      () => {
        for (const service of services) {
          for (const name of [service, ...(IMPLIED[service] ?? [])]) project.enabledServices.add(name);
        }
        const enabled = services.map((service) => toJson(project, service));
        return type === "EnableServiceResponse" ? { service: enabled[0] } : { services: enabled };
      },
      type,
    );
  }

  function begin(project: Project, services: readonly string[], act: () => object, type: string): unknown {
    return operations.begin({
      name: `operations/acf.p2-${project.projectNumber}-${randomUUID()}`,
      pace: world.pace,
      now: world.now,
      metadata: {
        "@type": "type.googleapis.com/google.api.serviceusage.v1.OperationMetadata",
        resourceNames: services.map((service) => `projects/${project.projectNumber}/services/${service}`),
      },
      finish: () => ({ "@type": `type.googleapis.com/google.api.serviceusage.v1.${type}`, ...act() }),
    });
  }

  return {
    name: "serviceusage",
    title: "Service Usage API",
    documents: ["serviceusage.v1.json", "serviceusage.v1beta1.json"],
    projectNeeds: { service: true, billing: false },
    handlers: {
      "serviceusage.services.list": (call) => {
        const project = projectOf(call, "serviceusage.services.list");
        const filter = call.query.get("filter") ?? "";
        const state = /^state:(ENABLED|DISABLED)$/.exec(filter)?.[1];
        if (filter !== "" && state === undefined) throw badRequest(`Invalid filter: ${filter}`, "filter");
        const names = [...KNOWN_SERVICES.keys()].filter(
          (service) => state === undefined || project.enabledServices.has(service) === (state === "ENABLED"),
        );
        const size = Math.min(Number(call.query.get("pageSize") ?? 0) || DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE);
        const start = Number(call.query.get("pageToken") ?? 0);
        if (!Number.isSafeInteger(start) || start < 0) throw badRequest("Invalid page token.", "pageToken");
        const page = names.slice(start, start + size).map((service) => toJson(project, service));
        return {
          ...(page.length === 0 ? {} : { services: page }),
          ...(start + size < names.length ? { nextPageToken: String(start + size) } : {}),
        };
      },
      "serviceusage.services.get": (call) => {
        const project = projectOf(call, "serviceusage.services.get");
        return toJson(project, requireKnown(call.params["servicesId"] ?? ""));
      },
      "serviceusage.services.batchGet": (call) => {
        const project = projectOf(call, "serviceusage.services.get");
        const names = call.query.getAll("names");
        if (names.length === 0 || names.length > MAX_BATCH_GET) {
          throw badRequest(`The number of names must be between 1 and ${MAX_BATCH_GET}.`, "names");
        }
        return {
          services: names.map((name) => {
            const [, id, service = ""] = /^projects\/([^/]+)\/services\/([^/]+)$/.exec(name) ?? [];
            if (id === undefined || world.findProject(id) !== project) {
              throw badRequest(`Invalid resource name: ${name}`, "names");
            }
            return toJson(project, requireKnown(service));
          }),
        };
      },
      "serviceusage.services.enable": (call) => {
        const project = projectOf(call, "serviceusage.services.enable");
        return enable(project, [call.params["servicesId"] ?? ""], "EnableServiceResponse");
      },
      "serviceusage.services.batchEnable": (call) => {
        const project = projectOf(call, "serviceusage.services.enable");
        const { serviceIds = [] } = call.body as { readonly serviceIds?: readonly string[] };
        if (serviceIds.length === 0 || serviceIds.length > MAX_BATCH_ENABLE) {
          throw badRequest(
            `The number of services must be between 1 and ${MAX_BATCH_ENABLE}.`,
            "service_ids",
          );
        }
        return enable(project, serviceIds, "BatchEnableServicesResponse");
      },
      "serviceusage.services.disable": (call) => {
        const project = projectOf(call, "serviceusage.services.disable");
        const service = requireKnown(call.params["servicesId"] ?? "");
        if (!project.enabledServices.has(service)) {
          throw new GoogleError("FAILED_PRECONDITION", `The service ${service} is not enabled.`, {
            reason: "failedPrecondition",
          });
        }
        return begin(
          project,
          [service],
          () => {
            project.enabledServices.delete(service);
            return { service: toJson(project, service) };
          },
          "DisableServiceResponse",
        );
      },
      "serviceusage.operations.get": ({ params }) => {
        const operation = operations.poll(params["name"] ?? "");
        if (operation === undefined) {
          throw new GoogleError("PERMISSION_DENIED", "Permission denied to get operation", {
            reason: "forbidden",
          });
        }
        return operation;
      },
    },
  };
}

function verbOf(permission: string): string {
  return permission.slice(permission.lastIndexOf(".") + 1);
}

function requireKnown(service: string): string {
  if (KNOWN_SERVICES.has(service)) return service;
  throw new GoogleError("PERMISSION_DENIED", `Not found or permission denied for service(s): ${service}.`, {
    reason: "forbidden",
    details: [
      errorInfo("SERVICE_CONFIG_NOT_FOUND_OR_PERMISSION_DENIED", "serviceusage.googleapis.com", {
        services: service,
      }),
    ],
  });
}

function toJson(project: Project, service: string): Readonly<Record<string, unknown>> {
  return {
    name: `projects/${project.projectNumber}/services/${service}`,
    config: { name: service, title: KNOWN_SERVICES.get(service) },
    state: project.enabledServices.has(service) ? "ENABLED" : "DISABLED",
    parent: `projects/${project.projectNumber}`,
  };
}
