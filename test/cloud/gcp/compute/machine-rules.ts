import { type CatalogMachineType, findMachineType, findZone } from "./catalog.ts";
import { invalidUsage, invalidValue, required } from "./compute-errors.ts";
import {
  type ConfidentialConfig,
  confidentialType,
  type Scheduling,
  type ShieldedConfig,
} from "./instance.ts";
import { lastSegment, pathOf } from "./links.ts";

/** What is decided together: confidential computing, processor, host maintenance and image. */
export interface Machine {
  readonly zone: string;
  readonly type: CatalogMachineType;
  readonly minCpuPlatform: string | undefined;
  readonly scheduling: Scheduling;
  readonly confidential: ConfidentialConfig | undefined;
  readonly shielded: ShieldedConfig;
  readonly imageFeatures: readonly string[];
  readonly nicTypes: readonly (string | undefined)[];
}

const PLATFORMS: Readonly<Record<string, readonly string[]>> = {
  n2d: ["AMD Rome", "AMD Milan"],
  c2d: ["AMD Milan"],
  n2: ["Intel Cascade Lake", "Intel Ice Lake"],
  c3: ["Intel Sapphire Rapids"],
};
const SEV_FAMILIES = new Set(["n2d", "c2d", "c3d"]);

/** @throws {GoogleError} INVALID_ARGUMENT, like all of this file */
export function requireMachineType(zonePrefix: string, reference: string | undefined): CatalogMachineType {
  if (reference === undefined) throw required("resource.machineType");
  const [, projectId = "", , zone = ""] = zonePrefix.split("/");
  const path = pathOf(reference, projectId);
  if (path === undefined || !path.startsWith(`${zonePrefix}/machineTypes/`)) {
    throw invalidValue(
      "resource.machineType",
      reference,
      "The URL is malformed, or names another zone or project.",
    );
  }
  const name = lastSegment(path);
  const type = findMachineType(zone, name);
  if (type !== undefined) return type;
  throw invalidValue(
    "resource.machineType",
    reference,
    `Machine type with name '${name}' does not exist in zone '${zone}'.`,
  );
}

/** All rules about one machine. */
export function requireMachine(machine: Machine): void {
  requireCpuPlatform(machine);
  requireScheduling(machine.scheduling);
  requireShielded(machine);
  for (const nicType of machine.nicTypes) {
    if (nicType === "GVNIC" && !machine.imageFeatures.includes("GVNIC")) {
      throw invalidUsage(
        "The image does not have the guest OS feature GVNIC, which the network interface needs",
      );
    }
  }
  const type = confidentialType(machine.confidential);
  if (machine.confidential?.enableConfidentialCompute === false && type !== undefined) {
    throw invalidValue(
      "resource.confidentialInstanceConfig",
      machine.confidential,
      "A confidential instance type needs enableConfidentialCompute.",
    );
  }
  if (type === "SEV_SNP") requireSnp(machine);
  else if (type === "SEV") requireSev(machine);
  else if (type === "TDX") requireTdx(machine);
  else if (type !== undefined) throw invalidUsage(`Confidential instance type ${type} is not available`);
}

function requireCpuPlatform({ zone, type, minCpuPlatform }: Machine): void {
  if (minCpuPlatform === undefined) return;
  const field = "resource.minCpuPlatform";
  if (!(findZone(zone)?.cpuPlatforms ?? []).includes(minCpuPlatform)) {
    throw invalidValue(
      field,
      minCpuPlatform,
      `CPU platform ${minCpuPlatform} is not available in zone ${zone}.`,
    );
  }
  if (!(PLATFORMS[type.family] ?? []).includes(minCpuPlatform)) {
    throw invalidValue(
      field,
      minCpuPlatform,
      `CPU platform ${minCpuPlatform} is not available for machine type ${type.name}.`,
    );
  }
}

function requireScheduling({ hostErrorTimeoutSeconds: seconds, ...scheduling }: Scheduling): void {
  if (seconds !== undefined && (seconds < 90 || seconds > 330 || seconds % 30 !== 0)) {
    throw invalidValue(
      "resource.scheduling.hostErrorTimeoutSeconds",
      String(seconds),
      "Must be between 90 and 330 in steps of 30.",
    );
  }
  const isSpot = scheduling.preemptible === true || scheduling.provisioningModel === "SPOT";
  if (isSpot && (scheduling.automaticRestart !== false || scheduling.onHostMaintenance === "MIGRATE")) {
    throw invalidUsage("Scheduling: Spot instances cannot restart automatically or migrate");
  }
}

function requireShielded({ shielded, imageFeatures }: Machine): void {
  const { enableSecureBoot, enableVtpm, enableIntegrityMonitoring } = shielded;
  if ((enableSecureBoot === true || enableVtpm === true) && !imageFeatures.includes("UEFI_COMPATIBLE")) {
    throw invalidUsage("Shielded VM Config can only be set when using a UEFI-compatible disk");
  }
  if (enableIntegrityMonitoring === true && enableVtpm === false) {
    throw invalidUsage("Integrity monitoring requires a virtual trusted platform module (vTPM)");
  }
}

function requireSnp(machine: Machine): void {
  if (machine.type.family !== "n2d") {
    throw invalidValue(
      "resource.machineType",
      machine.type.name,
      "Confidential VMs with SEV_SNP are available for machine type family n2d only.",
    );
  }
  if (machine.minCpuPlatform !== "AMD Milan") {
    throw invalidValue(
      "resource.minCpuPlatform",
      machine.minCpuPlatform ?? "",
      "Confidential VMs with SEV_SNP need the minimum CPU platform AMD Milan.",
    );
  }
  requireTermination(machine, "SEV_SNP");
  requireFeatures(machine, ["SEV_SNP_CAPABLE", "GVNIC", "UEFI_COMPATIBLE"]);
  requireGvnic(machine);
}

function requireSev(machine: Machine): void {
  if (!SEV_FAMILIES.has(machine.type.family)) {
    throw invalidValue(
      "resource.machineType",
      machine.type.name,
      "Confidential VMs with SEV are available for machine type families n2d, c2d and c3d only.",
    );
  }
  requireFeatures(machine, ["SEV_CAPABLE", "UEFI_COMPATIBLE"]);
  const mayMigrate =
    machine.type.family === "n2d" &&
    machine.minCpuPlatform === "AMD Milan" &&
    machine.imageFeatures.includes("SEV_LIVE_MIGRATABLE_V2");
  if (!mayMigrate) requireTermination(machine, "SEV");
}

function requireTdx(machine: Machine): void {
  if (!machine.type.name.startsWith("c3-standard-")) {
    throw invalidValue(
      "resource.machineType",
      machine.type.name,
      "Confidential VMs with TDX are available for machine types c3-standard only.",
    );
  }
  requireTermination(machine, "TDX");
  requireFeatures(machine, ["TDX_CAPABLE", "GVNIC", "UEFI_COMPATIBLE"]);
  requireGvnic(machine);
}

/** Without a word about it, a machine migrates. */
function requireTermination({ scheduling }: Machine, type: string): void {
  if (scheduling.onHostMaintenance === "TERMINATE") return;
  throw invalidValue(
    "resource.scheduling.onHostMaintenance",
    scheduling.onHostMaintenance ?? "MIGRATE",
    `Confidential VMs with ${type} need onHostMaintenance TERMINATE.`,
  );
}

function requireFeatures({ imageFeatures }: Machine, needed: readonly string[]): void {
  const missing = needed.filter((feature) => !imageFeatures.includes(feature));
  if (missing.length === 0) return;
  throw invalidValue(
    "resource.disks[0].initializeParams.sourceImage",
    imageFeatures.join(","),
    `The image does not have the guest OS features that this Confidential VM needs: ${missing.join(", ")}.`,
  );
}

function requireGvnic({ nicTypes }: Machine): void {
  nicTypes.forEach((nicType, index) => {
    if (nicType !== undefined && nicType !== "GVNIC") {
      throw invalidValue(
        `resource.networkInterfaces[${index}].nicType`,
        nicType,
        "This Confidential VM needs GVNIC.",
      );
    }
  });
}
