import type { Call } from "../api.ts";
import { requireBootDisk } from "./boot-disk.ts";
import { missingAccount, stockOut } from "./capacity.ts";
import { DISK_TYPES } from "./catalog.ts";
import type { ComputeState } from "./compute-state.ts";
import { diskJson } from "./disks.ts";
import {
  requireDescription,
  requireLabels,
  requireMetadata,
  requireName,
  requireTags,
} from "./field-rules.ts";
import { requireServiceAccount } from "./instance-account.ts";
import { type InstanceBody, readInstanceBody } from "./instance-body.ts";
import { instanceJson, shieldedConfig } from "./instance-json.ts";
import { networkInterfaces } from "./instance-network.ts";
import { instanceEvent, type NetworkInterface } from "./instance.ts";
import { linkTo, pathOf, regionOf } from "./links.ts";
import { requireMachine, requireMachineType } from "./machine-rules.ts";
import { requireOrgPolicies } from "./org-constraints.ts";
import { cpuMetric, quotaError } from "./quotas.ts";

/** `instances.insert`: everything that is wrong with the request is said at once; room and quota decide later. */
export function insertInstance(state: ComputeState, call: Call): unknown {
  const scope = state.scope(call);
  const body = readInstanceBody(call.body);
  const path = `${scope.prefix}/instances/${requireName(body.name)}`;
  const zone = call.params["zone"] ?? "";
  state.require(call, "compute.instances.create", path);
  requireDescription(body.description);
  requireLabels(body.labels);
  requireTags(body.tags?.items ?? []);
  const metadata = requireMetadata(body.metadata?.items ?? []);
  const type = requireMachineType(scope.prefix, body.machineType);
  const disk = requireBootDisk(scope, body);
  const serviceAccount = requireServiceAccount(state, call, scope.project, body);
  const interfaces = networkInterfaces(state, scope, body.networkInterfaces ?? []);
  requireUsePermissions(state, call, path, body, interfaces);
  const shielded = shieldedConfig(body, disk.image);
  requireMachine({
    zone,
    type,
    minCpuPlatform: body.minCpuPlatform,
    scheduling: body.scheduling ?? {},
    confidential: body.confidentialInstanceConfig,
    shielded,
    imageFeatures: disk.image.features,
    nicTypes: (body.networkInterfaces ?? []).map(({ nicType }) => nicType),
  });
  const hasExternalAddress = interfaces.some(({ accessConfigs }) => accessConfigs !== undefined);
  requireOrgPolicies(scope.project, {
    path,
    zone,
    hasExternalAddress,
    image: disk.image,
    shielded,
    confidential: body.confidentialInstanceConfig,
    metadata: new Map(metadata.map(({ key, value }) => [key, value])),
  });
  state.instances.requireFree(path);
  state.disks.requireFree(disk.path);
  const overQuota = quotaError(state, scope.project, regionOf(zone), {
    [cpuMetric(type.name)]: type.cpuCount,
    [DISK_TYPES.get(disk.type) ?? "DISKS_TOTAL_GB"]: disk.sizeGb,
    INSTANCES: 1,
    ...(hasExternalAddress ? { IN_USE_ADDRESSES: 1 } : {}),
  });

  const entry = state.instances.add(path, (id) =>
    instanceJson(state, scope, id, { body, disk, interfaces, metadata, serviceAccount }),
  );
  entry.isVisible = true;
  const diskEntry = state.disks.add(disk.path, (id) =>
    diskJson(state, scope.prefix, id, { ...disk, userLink: linkTo(path) }),
  );
  return state.operations.begin(call, {
    type: "insert",
    target: path,
    targetId: entry.id,
    finish: () => {
      const failure =
        overQuota ??
        missingAccount(state, scope.project, serviceAccount?.email) ??
        stockOut(state, scope, type.name);
      if (failure !== undefined) {
        state.instances.remove(path);
        state.disks.remove(disk.path);
        throw failure;
      }
      diskEntry.isVisible = true;
      diskEntry.isBusy = false;
      entry.isBusy = false;
      entry.json = { ...entry.json, status: "RUNNING", lastStartTimestamp: state.timestamp() };
      state.world.emitInstance(instanceEvent("created", entry));
    },
  });
}

function requireUsePermissions(
  state: ComputeState,
  call: Call,
  path: string,
  body: InstanceBody,
  interfaces: readonly NetworkInterface[],
): void {
  state.require(call, "compute.disks.create", path.replace("/instances/", "/disks/"));
  for (const { subnetwork, accessConfigs } of interfaces) {
    const resource = pathOf(subnetwork, "") ?? "";
    state.require(call, "compute.subnetworks.use", resource);
    if (accessConfigs !== undefined) state.require(call, "compute.subnetworks.useExternalIp", resource);
  }
  if ((body.metadata?.items ?? []).length > 0) state.require(call, "compute.instances.setMetadata", path);
  if ((body.tags?.items ?? []).length > 0) state.require(call, "compute.instances.setTags", path);
  if (body.labels !== undefined) state.require(call, "compute.instances.setLabels", path);
  if (body.serviceAccounts !== undefined) state.require(call, "compute.instances.setServiceAccount", path);
}
