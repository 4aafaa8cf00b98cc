import type { Call, Handler } from "../api.ts";
import { invalidUsage, invalidValue, required, staleFingerprint } from "./compute-errors.ts";
import type { ComputeState } from "./compute-state.ts";
import { findImage } from "./images.ts";
import {
  type MetadataItem,
  requireDescription,
  requireLabels,
  requireMetadata,
  requireTags,
} from "./field-rules.ts";
import { type InterfaceBody, withoutEmpty } from "./instance-body.ts";
import {
  type AccessConfig,
  instanceEvent,
  type InstanceJson,
  type Scheduling,
  type ShieldedConfig,
} from "./instance.ts";
import { idleInstance } from "./instance-lifecycle.ts";
import { requireActAs } from "./instance-account.ts";
import { metadataJson, tagsJson } from "./instance-json.ts";
import { accessConfig, networkInterfaces } from "./instance-network.ts";
import { lastSegment, linkTo, pathOf, regionOf } from "./links.ts";
import { requireMachine, requireMachineType } from "./machine-rules.ts";
import { requireMetadataPolicies } from "./org-constraints.ts";
import { type Entry, fingerprintOf } from "./store.ts";

type Changes = Partial<InstanceJson>;

/** Changes of an instance in place. */
export function instanceChangeMethods(state: ComputeState): Readonly<Record<string, Handler>> {
  const idle = (call: Call, permission: string): Entry<InstanceJson> => idleInstance(state, call, permission);
  const change = (call: Call, entry: Entry<InstanceJson>, type: string, changes: Changes): unknown => {
    requireRules(state, { ...entry.json, ...changes });
    return state.change(call, entry, type, () => {
      entry.json = { ...entry.json, ...changes };
    });
  };

  return {
    "compute.instances.setMetadata": (call) => {
      const entry = idle(call, "compute.instances.setMetadata");
      const { items = [], fingerprint } = call.body as {
        readonly items?: readonly Partial<MetadataItem>[];
        readonly fingerprint?: string;
      };
      const account = entry.json.serviceAccounts?.[0]?.email;
      if (account !== undefined) requireActAs(state, call, account);
      const checked = requireMetadata(items);
      requireMetadataPolicies(
        state.scope(call).project,
        new Map(checked.map(({ key, value }) => [key, value])),
      );
      if (fingerprint !== entry.json.metadata.fingerprint) throw staleFingerprint("metadata");
      return state.change(call, entry, "setMetadata", () => {
        entry.json = { ...entry.json, metadata: metadataJson(checked) };
        state.world.emitInstance(instanceEvent("metadata", entry));
      });
    },
    "compute.instances.setTags": (call) => {
      const entry = idle(call, "compute.instances.setTags");
      const { items = [], fingerprint } = call.body as {
        readonly items?: readonly string[];
        readonly fingerprint?: string;
      };
      requireTags(items);
      if (fingerprint !== entry.json.tags.fingerprint) throw staleFingerprint("tags");
      return change(call, entry, "setTags", { tags: tagsJson(items) });
    },
    "compute.instances.setLabels": (call) => {
      const entry = idle(call, "compute.instances.setLabels");
      const { labels = {}, labelFingerprint } = call.body as {
        readonly labels?: Readonly<Record<string, string>>;
        readonly labelFingerprint?: string;
      };
      requireLabels(labels);
      if (labelFingerprint !== entry.json.labelFingerprint) throw staleFingerprint("labels");
      return change(call, entry, "setLabels", { labels, labelFingerprint: fingerprintOf(labels) });
    },
    "compute.instances.setMachineType": (call) => {
      const entry = stopped(idle(call, "compute.instances.setMachineType"), "machine type");
      const { machineType } = call.body as { readonly machineType?: string };
      const { prefix } = state.scope(call);
      const type = requireMachineType(prefix, machineType);
      return change(call, entry, "setMachineType", {
        machineType: linkTo(`${prefix}/machineTypes/${type.name}`),
      });
    },
    "compute.instances.setMinCpuPlatform": (call) => {
      const entry = stopped(idle(call, "compute.instances.setMinCpuPlatform"), "minimum CPU platform");
      const { minCpuPlatform = "" } = call.body as { readonly minCpuPlatform?: string };
      if (minCpuPlatform !== "")
        return change(call, entry, "setMinCpuPlatform", { minCpuPlatform, cpuPlatform: minCpuPlatform });
      const { minCpuPlatform: _dropped, ...rest } = entry.json;
      requireRules(state, rest);
      return state.change(call, entry, "setMinCpuPlatform", () => {
        entry.json = rest;
      });
    },
    "compute.instances.setServiceAccount": (call) => {
      const entry = stopped(idle(call, "compute.instances.setServiceAccount"), "service account");
      const { email = "", scopes = [] } = call.body as {
        readonly email?: string;
        readonly scopes?: readonly string[];
      };
      if (email === "") {
        return state.change(call, entry, "setServiceAccount", () => {
          const { serviceAccounts: _dropped, ...rest } = entry.json;
          entry.json = rest;
        });
      }
      if (scopes.length === 0) throw required("scopes");
      if (!state.world.serviceAccounts.has(email)) {
        throw invalidValue("email", email, "The service account was not found.");
      }
      requireActAs(state, call, email);
      return change(call, entry, "setServiceAccount", { serviceAccounts: [{ email, scopes }] });
    },
    "compute.instances.setScheduling": (call) => {
      const entry = idle(call, "compute.instances.setScheduling");
      const scheduling = withoutEmpty(call.body) as Scheduling;
      return change(call, entry, "setScheduling", {
        scheduling: { ...entry.json.scheduling, ...scheduling },
      });
    },
    "compute.instances.updateShieldedInstanceConfig": (call) => {
      const entry = stopped(
        idle(call, "compute.instances.updateShieldedInstanceConfig"),
        "Shielded VM options",
      );
      const shielded = { ...entry.json.shieldedInstanceConfig, ...(call.body as ShieldedConfig) };
      return change(call, entry, "updateShieldedInstanceConfig", { shieldedInstanceConfig: shielded });
    },
    "compute.instances.setDiskAutoDelete": (call) => {
      const entry = idle(call, "compute.instances.setDiskAutoDelete");
      const deviceName = call.query.get("deviceName") ?? "";
      const autoDelete = call.query.get("autoDelete") === "true";
      if (!entry.json.disks.some((disk) => disk.deviceName === deviceName)) {
        throw invalidValue("deviceName", deviceName, "No attached disk has this device name.");
      }
      return change(call, entry, "setDiskAutoDelete", {
        disks: entry.json.disks.map((disk) =>
          disk.deviceName === deviceName ? { ...disk, autoDelete } : disk,
        ),
      });
    },
    "compute.instances.addAccessConfig": (call) => {
      const entry = idle(call, "compute.instances.addAccessConfig");
      const nic = nicOf(entry, call);
      if ((nic.accessConfigs ?? []).length > 0) {
        throw invalidUsage("At most one access config currently supported");
      }
      const region = regionOf(call.params["zone"] ?? "");
      const config = accessConfig(
        state,
        state.scope(call),
        region,
        withoutEmpty(call.body) as AccessConfig,
        "accessConfig",
      );
      return change(call, entry, "addAccessConfig", withNic(entry, { ...nic, accessConfigs: [config] }));
    },
    "compute.instances.deleteAccessConfig": (call) => {
      const entry = idle(call, "compute.instances.deleteAccessConfig");
      const { accessConfigs = [], ...nic } = nicOf(entry, call);
      const name = call.query.get("accessConfig") ?? "";
      if (!accessConfigs.some((config) => config.name === name)) {
        throw invalidValue("accessConfig", name, "No access config has this name.");
      }
      return change(call, entry, "deleteAccessConfig", withNic(entry, nic));
    },
    "compute.instances.updateNetworkInterface": (call) => {
      const entry = stopped(idle(call, "compute.instances.updateNetworkInterface"), "network");
      const nic = nicOf(entry, call);
      const { fingerprint, ...body } = withoutEmpty(call.body) as InterfaceBody & {
        readonly fingerprint?: string;
      };
      if (fingerprint !== nic.fingerprint) throw staleFingerprint("network interface");
      const [moved] = networkInterfaces(state, state.scope(call), [body]);
      const { accessConfigs, nicType } = nic;
      return change(
        call,
        entry,
        "updateNetworkInterface",
        withNic(entry, {
          ...(moved ?? nic),
          name: nic.name,
          ...(nicType === undefined ? {} : { nicType }),
          ...(accessConfigs === undefined ? {} : { accessConfigs }),
        }),
      );
    },
    // Without a policy in the request there is nothing to set; clients send it after they changed access configs.
    "compute.instances.setSecurityPolicy": (call) => {
      const entry = idle(call, "compute.instances.setSecurityPolicy");
      const { securityPolicy = "" } = call.body as { readonly securityPolicy?: string };
      if (securityPolicy !== "") throw new Error("this cloud has no security policies");
      return change(call, entry, "setSecurityPolicy", {});
    },
    "compute.instances.update": (call) => {
      const entry = idle(call, "compute.instances.update");
      const { description = "", canIpForward = false, fingerprint } = call.body as Changes;
      if (fingerprint !== undefined && fingerprint !== entry.json.fingerprint)
        throw staleFingerprint("instance");
      requireDescription(description);
      return change(call, entry, "update", { description, canIpForward });
    },
  };
}

function stopped(entry: Entry<InstanceJson>, what: string): Entry<InstanceJson> {
  if (entry.json.status === "TERMINATED") return entry;
  throw invalidUsage(`Instance must be stopped before its ${what} can be changed`);
}

type Nic = InstanceJson["networkInterfaces"][number];

function nicOf({ json }: Entry<InstanceJson>, call: Call): Nic {
  const name = call.query.get("networkInterface") ?? "";
  const nic = json.networkInterfaces.find((candidate) => candidate.name === name);
  if (nic === undefined)
    throw invalidValue("networkInterface", name, "The instance has no such network interface.");
  return nic;
}

function withNic({ json }: Entry<InstanceJson>, nic: Nic): Changes {
  return { networkInterfaces: json.networkInterfaces.map((one) => (one.name === nic.name ? nic : one)) };
}

/** What `insert` refuses, a change cannot reach either. */
function requireRules(state: ComputeState, json: InstanceJson): void {
  const zonePrefix = pathOf(json.zone, "") ?? "";
  const source = json.disks[0]?.source;
  const disk = state.disks.all(zonePrefix).find(({ json: { selfLink } }) => selfLink === source);
  const image = findImage(pathOf(disk?.json.sourceImage ?? "", "") ?? "");
  requireMachine({
    zone: lastSegment(zonePrefix),
    type: requireMachineType(zonePrefix, json.machineType),
    minCpuPlatform: json.minCpuPlatform,
    scheduling: json.scheduling,
    confidential: json.confidentialInstanceConfig,
    shielded: json.shieldedInstanceConfig,
    imageFeatures: image?.features ?? [],
    nicTypes: json.networkInterfaces.map(({ nicType }) => nicType),
  });
}
