import type { OrgPolicy, Project } from "../world.ts";
import type { CatalogImage } from "./catalog.ts";
import { conditionNotMet } from "./compute-errors.ts";
import { type ConfidentialConfig, confidentialType, type ShieldedConfig } from "./instance.ts";
import { regionOf } from "./links.ts";

/** What organization policies look at in a machine. */
export interface Constrained {
  /** `projects/p/zones/z/instances/i`. */
  readonly path: string;
  readonly zone: string;
  readonly hasExternalAddress: boolean;
  readonly image: CatalogImage;
  readonly shielded: ShieldedConfig;
  readonly confidential: ConfidentialConfig | undefined;
  readonly metadata: ReadonlyMap<string, string>;
}

/** @throws {GoogleError} FAILED_PRECONDITION (HTTP 412) for the first constraint that the machine violates */
export function requireOrgPolicies(project: Project, machine: Constrained): void {
  const { path, image } = machine;
  const refuse = (constraint: string, why: string): never => {
    throw conditionNotMet(
      `Constraint constraints/${constraint} violated for project ${project.projectNumber}. ${why}`,
    );
  };
  if (machine.hasExternalAddress && !allows(project.orgPolicies.get("compute.vmExternalIpAccess"), path)) {
    refuse(
      "compute.vmExternalIpAccess",
      `Add instance ${path} to the constraint to use external IP with it.`,
    );
  }
  if (!allows(project.orgPolicies.get("compute.trustedImageProjects"), `projects/${image.project}`)) {
    refuse("compute.trustedImageProjects", `Use of images from project ${image.project} is prohibited.`);
  }
  if (isEnforced(project, "compute.requireShieldedVm") && machine.shielded.enableSecureBoot !== true) {
    refuse(
      "compute.requireShieldedVm",
      "Secure Boot is not enabled in the 'shielded_instance_config' field.",
    );
  }
  const nonConfidential = project.orgPolicies.get("compute.restrictNonConfidentialComputing");
  if (
    confidentialType(machine.confidential) === undefined &&
    !allows(nonConfidential, "compute.googleapis.com")
  ) {
    refuse("compute.restrictNonConfidentialComputing", "Confidential Computing is required.");
  }
  requireMetadataPolicies(project, machine.metadata, refuse);
  requireLocation(project, machine.zone, path);
}

/** @throws {GoogleError} FAILED_PRECONDITION (HTTP 412) */
export function requireMetadataPolicies(
  project: Project,
  metadata: ReadonlyMap<string, string>,
  refuse: (constraint: string, why: string) => void = (constraint, why) => {
    throw conditionNotMet(
      `Constraint constraints/${constraint} violated for project ${project.projectNumber}. ${why}`,
    );
  },
): void {
  const isOn = (key: string): boolean => /^(true|1|yes|y)$/i.test(metadata.get(key) ?? "");
  if (isEnforced(project, "compute.disableSerialPortAccess") && isOn("serial-port-enable")) {
    refuse("compute.disableSerialPortAccess", "The serial port cannot be enabled.");
  }
  const osLogin = metadata.get("enable-oslogin");
  if (isEnforced(project, "compute.requireOsLogin") && osLogin !== undefined && !isOn("enable-oslogin")) {
    refuse("compute.requireOsLogin", "OS Login cannot be disabled.");
  }
}

/** @param location a zone or a region. @throws {GoogleError} FAILED_PRECONDITION (HTTP 412) */
export function requireLocation(project: Project, location: string, path: string): void {
  const policy = project.orgPolicies.get("gcp.resourceLocations");
  const region = /-[a-z]$/.test(location) ? regionOf(location) : location;
  const continent = region.slice(0, region.indexOf("-"));
  const names = [location, region, `in:${region}-locations`, `in:${continent}-locations`];
  if (names.some((name) => allows(policy, name))) return;
  throw conditionNotMet(
    `'${location}' violates constraint 'constraints/gcp.resourceLocations' on the resource '${path}'.`,
  );
}

function isEnforced(project: Project, constraint: string): boolean {
  const policy = project.orgPolicies.get(constraint);
  return policy !== undefined && "enforce" in policy && policy.enforce;
}

function allows(policy: OrgPolicy | undefined, value: string): boolean {
  if (policy === undefined || "allowAll" in policy) return true;
  return "allowedValues" in policy && policy.allowedValues.includes(value);
}
