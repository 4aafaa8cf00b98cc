import type { BootDisk } from "./boot-disk.ts";
import type { CatalogImage } from "./catalog.ts";
import type { ComputeState, Scope } from "./compute-state.ts";
import type { MetadataItem } from "./field-rules.ts";
import type { InstanceBody } from "./instance-body.ts";
import {
  confidentialType,
  type InstanceJson,
  type NetworkInterface,
  type ShieldedConfig,
} from "./instance.ts";
import { lastSegment, linkTo } from "./links.ts";
import { fingerprintOf } from "./store.ts";

/** What a new machine looks like, before it runs. */
export function instanceJson(
  state: ComputeState,
  { prefix }: Scope,
  id: string,
  parts: {
    readonly body: InstanceBody;
    readonly disk: BootDisk;
    readonly interfaces: readonly NetworkInterface[];
    readonly metadata: readonly MetadataItem[];
    readonly serviceAccount: { readonly email: string; readonly scopes: readonly string[] } | undefined;
  },
): InstanceJson {
  const { body, disk, interfaces, metadata, serviceAccount } = parts;
  const name = body.name ?? "";
  const confidential = confidentialType(body.confidentialInstanceConfig);
  const isN2d = lastSegment(body.machineType ?? "").startsWith("n2d-");
  return {
    kind: "compute#instance",
    id,
    creationTimestamp: state.timestamp(),
    name,
    ...(body.description === undefined ? {} : { description: body.description }),
    status: "PROVISIONING",
    machineType: linkTo(`${prefix}/machineTypes/${lastSegment(body.machineType ?? "")}`),
    zone: linkTo(prefix),
    canIpForward: body.canIpForward ?? false,
    ...(body.minCpuPlatform === undefined ? {} : { minCpuPlatform: body.minCpuPlatform }),
    cpuPlatform: body.minCpuPlatform ?? (isN2d ? "AMD Rome" : "Intel Broadwell"),
    networkInterfaces: interfaces,
    disks: [
      {
        kind: "compute#attachedDisk",
        type: "PERSISTENT",
        mode: disk.mode,
        source: linkTo(disk.path),
        deviceName: disk.deviceName,
        index: 0,
        boot: true,
        autoDelete: disk.autoDelete,
        interface: confidential === undefined ? "SCSI" : "NVME",
        diskSizeGb: String(disk.sizeGb),
        guestOsFeatures: disk.image.features.map((type) => ({ type })),
        licenses: [linkTo(`projects/${disk.image.project}/global/licenses/${disk.image.family}`)],
        architecture: "X86_64",
      },
    ],
    metadata: metadataJson(metadata),
    tags: tagsJson(body.tags?.items ?? []),
    ...(body.labels === undefined ? {} : { labels: body.labels }),
    labelFingerprint: fingerprintOf(body.labels ?? {}),
    ...(serviceAccount === undefined ? {} : { serviceAccounts: [serviceAccount] }),
    scheduling: {
      onHostMaintenance: "MIGRATE",
      automaticRestart: true,
      preemptible: false,
      provisioningModel: "STANDARD",
      ...body.scheduling,
    },
    shieldedInstanceConfig: shieldedConfig(body, disk.image),
    shieldedInstanceIntegrityPolicy: { updateAutoLearnPolicy: true },
    ...(confidential === undefined
      ? {}
      : {
          confidentialInstanceConfig: {
            enableConfidentialCompute: true,
            confidentialInstanceType: confidential,
          },
        }),
    deletionProtection: body.deletionProtection ?? false,
    startRestricted: false,
    fingerprint: fingerprintOf([id, name]),
    selfLink: linkTo(`${prefix}/instances/${name}`),
  };
}

export function metadataJson(items: readonly MetadataItem[]): InstanceJson["metadata"] {
  return {
    kind: "compute#metadata",
    fingerprint: fingerprintOf(items),
    ...(items.length === 0 ? {} : { items }),
  };
}

export function tagsJson(items: readonly string[]): InstanceJson["tags"] {
  return { fingerprint: fingerprintOf(items), ...(items.length === 0 ? {} : { items }) };
}

/** Options of a Shielded VM, with the defaults of an image that can have them. */
export function shieldedConfig(
  { shieldedInstanceConfig = {} }: InstanceBody,
  image: CatalogImage,
): ShieldedConfig {
  const isUefi = image.features.includes("UEFI_COMPATIBLE");
  return {
    enableSecureBoot: shieldedInstanceConfig.enableSecureBoot ?? false,
    enableVtpm: shieldedInstanceConfig.enableVtpm ?? isUefi,
    enableIntegrityMonitoring:
      shieldedInstanceConfig.enableIntegrityMonitoring ?? shieldedInstanceConfig.enableVtpm ?? isUefi,
  };
}
