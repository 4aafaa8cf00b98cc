import type { Project } from "../world.ts";
import { OperationError } from "./compute-operations.ts";
import type { ComputeState, Scope } from "./compute-state.ts";
import { lastSegment, regionOf } from "./links.ts";

/** How an operation ends whose machine's service account is not there. */
export function missingAccount(
  state: ComputeState,
  project: Project,
  email: string | undefined,
): OperationError | undefined {
  const isDefault = email === `${project.projectNumber}-compute@developer.gserviceaccount.com`;
  if (email === undefined || isDefault || state.world.serviceAccounts.has(email)) return undefined;
  return new OperationError(
    "RESOURCE_NOT_FOUND",
    `The resource 'projects/${project.projectId}/serviceAccounts/${email}' of type 'serviceAccount' was not found.`,
    [404, "NOT FOUND"],
  );
}

/** How an operation ends in a zone that has no machines left. */
export function stockOut(
  state: ComputeState,
  { prefix }: Scope,
  machineType: string,
): OperationError | undefined {
  const zone = lastSegment(prefix);
  if (!state.world.exhaustedZones.has(zone)) return undefined;
  const message =
    `A ${machineType} VM instance is currently unavailable in the ${zone} zone. Alternatively, you can try your ` +
    "request again with a different VM hardware configuration or at a later time. For more information, see the " +
    "troubleshooting documentation.";
  return new OperationError(
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS",
    `The zone '${prefix}' does not have enough resources available to fulfill the request.  '(resource type:compute)'.`,
    [503, "SERVICE UNAVAILABLE"],
    [
      {
        help: {
          links: [
            {
              description: "Troubleshooting documentation",
              url: "https://cloud.google.com/compute/docs/resource-error",
            },
          ],
        },
      },
      { localizedMessage: { locale: "en-US", message } },
      {
        errorInfo: {
          reason: "resource_availability",
          domain: "compute.googleapis.com",
          metadatas: { vmType: machineType, zone, attachment: "", zonesAvailable: otherZones(state, zone) },
        },
      },
    ],
  );
}

function otherZones(state: ComputeState, zone: string): string {
  return ["a", "b", "c"]
    .map((letter) => `${regionOf(zone)}-${letter}`)
    .filter((name) => name !== zone && !state.world.exhaustedZones.has(name))
    .join(",");
}
