/** Places, machines and images that this cloud has: a small part of what Google has, with its names. */

export interface CatalogZone {
  readonly name: string;
  readonly cpuPlatforms: readonly string[];
  readonly machineFamilies: readonly string[];
}

const OLD = ["Intel Broadwell", "Intel Skylake", "Intel Cascade Lake", "AMD Rome"];
const MILAN = [...OLD, "Intel Ice Lake", "Intel Sapphire Rapids", "AMD Milan"];
const ALL_FAMILIES = ["e2", "n2", "n2d", "c2d", "c3", "c3d"];

/** Zones with AMD Milan have SEV-SNP; the others are there to be refused. */
export const ZONES: readonly CatalogZone[] = [
  ...["us-central1-a", "us-central1-b", "us-central1-c"].map(zoneWithSnp),
  { name: "us-central1-f", cpuPlatforms: OLD, machineFamilies: ["e2", "n2", "n2d"] },
  ...["europe-west3-a", "europe-west3-b", "europe-west3-c"].map(zoneWithSnp),
  ...["europe-west4-a", "europe-west4-b", "europe-west4-c"].map(zoneWithSnp),
  ...["asia-southeast1-a", "asia-southeast1-b", "asia-southeast1-c"].map(zoneWithSnp),
  ...["us-east1-b", "us-east1-c"].map((name) => ({ name, cpuPlatforms: OLD, machineFamilies: ["e2", "n2"] })),
];

function zoneWithSnp(name: string): CatalogZone {
  return { name, cpuPlatforms: MILAN, machineFamilies: ALL_FAMILIES };
}

export interface CatalogMachineType {
  readonly name: string;
  readonly family: string;
  readonly cpuCount: number;
  readonly memoryMb: number;
}

export const MACHINE_TYPES: readonly CatalogMachineType[] = [
  { name: "e2-medium", family: "e2", cpuCount: 2, memoryMb: 4096 },
  { name: "e2-standard-2", family: "e2", cpuCount: 2, memoryMb: 8192 },
  { name: "n2-standard-2", family: "n2", cpuCount: 2, memoryMb: 8192 },
  ...[2, 4, 8, 16, 32, 64].map((count) => n2d("standard", count, 4096)),
  ...[2, 4, 8].map((count) => n2d("highmem", count, 8192)),
  ...[2, 4, 8].map((count) => n2d("highcpu", count, 1024)),
  { name: "c2d-standard-2", family: "c2d", cpuCount: 2, memoryMb: 8192 },
  { name: "c3-standard-4", family: "c3", cpuCount: 4, memoryMb: 16_384 },
  { name: "c3d-standard-4", family: "c3d", cpuCount: 4, memoryMb: 16_384 },
];

function n2d(kind: string, cpuCount: number, memoryMbPerCpu: number): CatalogMachineType {
  return { name: `n2d-${kind}-${cpuCount}`, family: "n2d", cpuCount, memoryMb: cpuCount * memoryMbPerCpu };
}

export interface CatalogImage {
  readonly project: string;
  readonly name: string;
  readonly family: string;
  readonly diskSizeGb: number;
  readonly features: readonly string[];
  readonly isDeprecated: boolean;
}

const BASIC = ["UEFI_COMPATIBLE", "VIRTIO_SCSI_MULTIQUEUE", "GVNIC"];
const CONFIDENTIAL = [
  "SEV_CAPABLE",
  "SEV_SNP_CAPABLE",
  "SEV_LIVE_MIGRATABLE",
  "SEV_LIVE_MIGRATABLE_V2",
  "TDX_CAPABLE",
  "IDPF",
];

export const IMAGES: readonly CatalogImage[] = [
  image("cos-cloud", "cos-stable-125-19216-104-126", "cos-stable", 10, [...BASIC, ...CONFIDENTIAL]),
  {
    ...image("cos-cloud", "cos-stable-125-19216-104-74", "cos-stable", 10, [...BASIC, ...CONFIDENTIAL]),
    isDeprecated: true,
  },
  image("cos-cloud", "cos-125-19216-104-126", "cos-125-lts", 10, [...BASIC, ...CONFIDENTIAL]),
  image("cos-cloud", "cos-105-17412-535-98", "cos-105-lts", 10, [...BASIC, "SEV_CAPABLE"]),
  image("debian-cloud", "debian-12-bookworm-v20261103", "debian-12", 10, BASIC),
  image("debian-cloud", "debian-old-v20240101", "debian-old", 10, [
    "VIRTIO_SCSI_MULTIQUEUE",
    "SEV_SNP_CAPABLE",
  ]),
];

function image(
  project: string,
  name: string,
  family: string,
  diskSizeGb: number,
  features: readonly string[],
): CatalogImage {
  return { project, name, family, diskSizeGb, features, isDeprecated: false };
}

/** Types of disks, with the quota that they count against. */
export const DISK_TYPES: ReadonlyMap<string, "SSD_TOTAL_GB" | "DISKS_TOTAL_GB"> = new Map([
  ["pd-standard", "DISKS_TOTAL_GB"],
  ["pd-balanced", "SSD_TOTAL_GB"],
  ["pd-ssd", "SSD_TOTAL_GB"],
]);

export function regionNames(): readonly string[] {
  return [...new Set(ZONES.map(({ name }) => name.slice(0, name.lastIndexOf("-"))))];
}

export function findZone(name: string): CatalogZone | undefined {
  return ZONES.find((zone) => zone.name === name);
}

/** A machine type that the zone has. */
export function findMachineType(zone: string, name: string): CatalogMachineType | undefined {
  const families = findZone(zone)?.machineFamilies ?? [];
  return MACHINE_TYPES.find((type) => type.name === name && families.includes(type.family));
}
