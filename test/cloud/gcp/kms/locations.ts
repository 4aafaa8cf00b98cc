import type { Handler } from "../api.ts";
import { GoogleError } from "../google-error.ts";
import type { World } from "../world.ts";

/** Places where keys can be. */
const LOCATIONS = [
  "asia-southeast1",
  "europe",
  "europe-west1",
  "europe-west3",
  "europe-west4",
  "global",
  "us",
  "us-central1",
  "us-east1",
  "us-east4",
] as const;

export interface KmsLocations {
  /** Throws a `GoogleError` INVALID_ARGUMENT for a place that there is not. */
  check(location: string): void;
  hasHsm(location: string): boolean;
}

/** @param withoutHsm  locations without hardware modules */
export function kmsLocations(withoutHsm: readonly string[]): KmsLocations {
  return {
    check(location) {
      if (LOCATIONS.some((known) => known === location)) return;
      throw new GoogleError("INVALID_ARGUMENT", `The location ${location} is not a location of Cloud KMS.`);
    },
    hasHsm: (location) => !withoutHsm.includes(location),
  };
}

export function locationMethods(world: World, locations: KmsLocations): Readonly<Record<string, Handler>> {
  const describe = (project: string, location: string): unknown => ({
    name: `projects/${project}/locations/${location}`,
    locationId: location,
    labels: { "cloud.googleapis.com/region": location },
    metadata: {
      "@type": "type.googleapis.com/google.cloud.kms.v1.LocationMetadata",
      ...(locations.hasHsm(location) ? { hsmAvailable: true } : {}),
    },
  });
  return {
    "cloudkms.projects.locations.get": ({ params, caller }) => {
      const { projectsId: project = "", locationsId: location = "" } = params;
      world.requirePermission(caller, "cloudkms.locations.get", `projects/${project}`);
      if (!LOCATIONS.some((known) => known === location)) {
        throw new GoogleError("NOT_FOUND", `Location ${location} is not found or access is unauthorized.`);
      }
      return describe(project, location);
    },
    "cloudkms.projects.locations.list": ({ params, caller }) => {
      const { projectsId: project = "" } = params;
      world.requirePermission(caller, "cloudkms.locations.list", `projects/${project}`);
      return { locations: LOCATIONS.map((location) => describe(project, location)) };
    },
  };
}
