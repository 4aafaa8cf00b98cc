import type { Scheduling, ConfidentialConfig, ShieldedConfig, AccessConfig } from "./instance.ts";
import type { MetadataItem } from "./field-rules.ts";

export interface DiskBody {
  readonly boot?: boolean;
  readonly autoDelete?: boolean;
  readonly mode?: string;
  readonly deviceName?: string;
  readonly source?: string;
  readonly type?: string;
  readonly initializeParams?: {
    readonly diskName?: string;
    readonly diskSizeGb?: string;
    readonly diskType?: string;
    readonly sourceImage?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
}

export interface InterfaceBody {
  readonly network?: string;
  readonly subnetwork?: string;
  readonly networkIP?: string;
  readonly nicType?: string;
  readonly stackType?: string;
  readonly accessConfigs?: readonly AccessConfig[];
}

/** What `instances.insert` takes; the fields that this cloud has. */
export interface InstanceBody {
  readonly name?: string;
  readonly description?: string;
  readonly machineType?: string;
  readonly minCpuPlatform?: string;
  readonly canIpForward?: boolean;
  readonly deletionProtection?: boolean;
  readonly confidentialInstanceConfig?: ConfidentialConfig;
  readonly shieldedInstanceConfig?: ShieldedConfig;
  readonly scheduling?: Scheduling;
  readonly disks?: readonly DiskBody[];
  readonly networkInterfaces?: readonly InterfaceBody[];
  readonly serviceAccounts?: readonly { readonly email?: string; readonly scopes?: readonly string[] }[];
  readonly tags?: { readonly items?: readonly string[] };
  readonly labels?: Readonly<Record<string, string>>;
  readonly metadata?: { readonly items?: readonly Partial<MetadataItem>[] };
}

const KNOWN_FIELDS = new Set([
  "name",
  "description",
  "machineType",
  "minCpuPlatform",
  "canIpForward",
  "deletionProtection",
  "confidentialInstanceConfig",
  "shieldedInstanceConfig",
  "scheduling",
  "disks",
  "networkInterfaces",
  "serviceAccounts",
  "tags",
  "labels",
  "metadata",
]);

/**
 * A body whose empty parts are left out: empty texts, lists and objects mean the default.
 *
 * @throws {Error} for a field that Google has and this cloud has not: a fault of the box, not an answer of Google
 */
export function readInstanceBody(body: unknown): InstanceBody {
  const plain = withoutEmpty(body) as Readonly<Record<string, unknown>>;
  const unknown = Object.keys(plain).filter((key) => !KNOWN_FIELDS.has(key));
  if (unknown.length > 0) throw new Error(`this cloud has no instances with ${unknown.join(", ")}`);
  return plain;
}

/** `accessConfigs: [{}]` asks for an address, so the items of lists stay. */
export function withoutEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmpty);
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value)
    .map(([key, item]) => [key, withoutEmpty(item)] as const)
    .filter(([, item]) => !isEmpty(item));
  return Object.fromEntries(kept);
}

function isEmpty(value: unknown): boolean {
  return value === "" || (typeof value === "object" && value !== null && Object.keys(value).length === 0);
}
