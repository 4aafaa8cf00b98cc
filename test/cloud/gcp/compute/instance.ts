import type { InstanceEvent } from "../world.ts";
import type { MetadataItem } from "./field-rules.ts";
import { lastSegment } from "./links.ts";
import type { Entry } from "./store.ts";

export interface AccessConfig {
  readonly kind?: "compute#accessConfig";
  readonly name?: string;
  readonly type?: string;
  readonly natIP?: string;
  readonly networkTier?: string;
}

export interface NetworkInterface {
  readonly kind: "compute#networkInterface";
  readonly name: string;
  readonly network: string;
  readonly subnetwork: string;
  readonly networkIP: string;
  readonly nicType?: string;
  readonly fingerprint: string;
  readonly accessConfigs?: readonly AccessConfig[];
}

export interface Scheduling {
  readonly onHostMaintenance?: string;
  readonly automaticRestart?: boolean;
  readonly preemptible?: boolean;
  readonly provisioningModel?: string;
  readonly hostErrorTimeoutSeconds?: number;
}

export interface ConfidentialConfig {
  readonly enableConfidentialCompute?: boolean;
  readonly confidentialInstanceType?: string;
}

export interface ShieldedConfig {
  readonly enableSecureBoot?: boolean;
  readonly enableVtpm?: boolean;
  readonly enableIntegrityMonitoring?: boolean;
}

export interface AttachedDisk {
  readonly kind: "compute#attachedDisk";
  readonly type: "PERSISTENT";
  readonly mode: string;
  readonly source: string;
  readonly deviceName: string;
  readonly index: number;
  readonly boot: boolean;
  readonly autoDelete: boolean;
  readonly [other: string]: unknown;
}

/** What `instances.get` answers. */
export interface InstanceJson {
  readonly kind: "compute#instance";
  readonly id: string;
  readonly name: string;
  readonly status: "PROVISIONING" | "STAGING" | "RUNNING" | "STOPPING" | "TERMINATED";
  readonly description?: string;
  readonly machineType: string;
  readonly zone: string;
  readonly canIpForward: boolean;
  readonly minCpuPlatform?: string;
  readonly cpuPlatform: string;
  readonly networkInterfaces: readonly NetworkInterface[];
  readonly disks: readonly AttachedDisk[];
  readonly metadata: {
    readonly kind: "compute#metadata";
    readonly fingerprint: string;
    readonly items?: readonly MetadataItem[];
  };
  readonly tags: { readonly fingerprint: string; readonly items?: readonly string[] };
  readonly labels?: Readonly<Record<string, string>>;
  readonly labelFingerprint: string;
  readonly serviceAccounts?: readonly { readonly email: string; readonly scopes: readonly string[] }[];
  readonly scheduling: Scheduling;
  readonly shieldedInstanceConfig: ShieldedConfig;
  readonly confidentialInstanceConfig?: ConfidentialConfig;
  readonly deletionProtection: boolean;
  readonly fingerprint: string;
  readonly selfLink: string;
  readonly [other: string]: unknown;
}

/** SEV is what confidential computing without a type means. */
export function confidentialType(config: ConfidentialConfig | undefined): string | undefined {
  const given = config?.confidentialInstanceType;
  if (given !== undefined && given !== "" && given !== "CONFIDENTIAL_INSTANCE_TYPE_UNSPECIFIED") return given;
  return config?.enableConfidentialCompute === true ? "SEV" : undefined;
}

export function instanceEvent(kind: InstanceEvent["kind"], entry: Entry<InstanceJson>): InstanceEvent {
  const { json, path } = entry;
  const [, projectId = "", , zone = ""] = path.split("/");
  return {
    kind,
    projectId,
    zone,
    name: lastSegment(path),
    instanceId: entry.id,
    serviceAccount: json.serviceAccounts?.[0]?.email,
    metadata: Object.fromEntries((json.metadata.items ?? []).map(({ key, value }) => [key, value])),
    externalAddress: json.networkInterfaces[0]?.accessConfigs?.[0]?.natIP,
    confidentialInstanceType: confidentialType(json.confidentialInstanceConfig),
    secureBoot: json.shieldedInstanceConfig.enableSecureBoot ?? false,
  };
}
