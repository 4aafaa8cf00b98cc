import type { Call, Handler } from "../api.ts";
import type { InstanceEvent } from "../world.ts";
import { missingAccount, stockOut } from "./capacity.ts";
import { invalidUsage, notFound } from "./compute-errors.ts";
import type { ComputeState } from "./compute-state.ts";
import { instanceEvent, type InstanceJson } from "./instance.ts";
import { insertInstance } from "./instance-insert.ts";
import { lastSegment, linkTo, regionOf } from "./links.ts";
import { listOf } from "./list.ts";
import { cpuCount, cpuMetric, quotaError } from "./quotas.ts";
import type { Entry } from "./store.ts";

/** Instances: made, looked at, stopped, started, deleted. */
export function instanceMethods(state: ComputeState): Readonly<Record<string, Handler>> {
  const named = (call: Call): Entry<InstanceJson> => findInstance(state, call);
  const idle = (call: Call, permission: string): Entry<InstanceJson> => idleInstance(state, call, permission);
  const emit = (kind: InstanceEvent["kind"], entry: Entry<InstanceJson>): void =>
    state.world.emitInstance(instanceEvent(kind, entry));

  return {
    "compute.instances.insert": (call) => insertInstance(state, call),
    "compute.instances.get": (call) => {
      const entry = named(call);
      state.require(call, "compute.instances.get", entry.path);
      return entry.json;
    },
    "compute.instances.list": (call) => {
      const { prefix } = state.scope(call);
      state.require(call, "compute.instances.list", prefix);
      const all = state.instances.all(`${prefix}/`).map(({ json }) => json);
      return listOf(call, "compute#instanceList", `${prefix}/instances`, all);
    },
    "compute.instances.getSerialPortOutput": (call) => {
      const entry = named(call);
      state.require(call, "compute.instances.getSerialPortOutput", entry.path);
      const output = state.world.serialOutput.get(entry.id) ?? "";
      const start = Number(call.query.get("start") ?? 0);
      return {
        kind: "compute#serialPortOutput",
        contents: output.slice(start),
        start: String(start),
        next: String(output.length),
        selfLink: linkTo(`${entry.path}/serialPort`),
      };
    },
    "compute.instances.stop": (call) => {
      const entry = idle(call, "compute.instances.stop");
      if (entry.json.status === "TERMINATED") return state.change(call, entry, "stop", () => {});
      entry.json = { ...entry.json, status: "STOPPING" };
      return state.change(call, entry, "stop", () => {
        entry.json = {
          ...entry.json,
          status: "TERMINATED",
          lastStopTimestamp: state.timestamp(),
          networkInterfaces: entry.json.networkInterfaces.map((nic) => ({
            ...nic,
            ...withAddresses(nic, (address) => (isReserved(state, address) ? address : undefined)),
          })),
        };
        emit("stopped", entry);
      });
    },
    "compute.instances.start": (call) => {
      const scope = state.scope(call);
      const entry = idle(call, "compute.instances.start");
      if (entry.json.status === "RUNNING") return state.change(call, entry, "start", () => {});
      const machineType = lastSegment(entry.json.machineType);
      const more = { [cpuMetric(machineType)]: cpuCount(machineType) };
      const over = quotaError(state, scope.project, regionOf(call.params["zone"] ?? ""), more);
      const account = entry.json.serviceAccounts?.[0]?.email;
      entry.json = { ...entry.json, status: "STAGING" };
      return state.change(call, entry, "start", () => {
        const failure =
          over ?? missingAccount(state, scope.project, account) ?? stockOut(state, scope, machineType);
        if (failure !== undefined) {
          entry.json = { ...entry.json, status: "TERMINATED" };
          throw failure;
        }
        entry.json = {
          ...entry.json,
          status: "RUNNING",
          lastStartTimestamp: state.timestamp(),
          networkInterfaces: entry.json.networkInterfaces.map((nic) => ({
            ...nic,
            ...withAddresses(nic, (address) => address ?? state.newExternalAddress()),
          })),
        };
        emit("started", entry);
      });
    },
    "compute.instances.reset": (call) => {
      const entry = idle(call, "compute.instances.reset");
      if (entry.json.status !== "RUNNING") throw invalidUsage("Instance must be running to be reset");
      return state.change(call, entry, "reset", () => emit("reset", entry));
    },
    "compute.instances.setDeletionProtection": (call) => {
      const entry = idle(call, "compute.instances.setDeletionProtection");
      const deletionProtection = call.query.get("deletionProtection") !== "false";
      return state.change(call, entry, "setDeletionProtection", () => {
        entry.json = { ...entry.json, deletionProtection };
      });
    },
    "compute.instances.delete": (call) => {
      const entry = idle(call, "compute.instances.delete");
      if (entry.json.deletionProtection) {
        throw invalidUsage("Resource cannot be deleted if it's protected against deletion");
      }
      entry.json = { ...entry.json, status: "STOPPING" };
      return state.change(call, entry, "delete", () => {
        state.instances.remove(entry.path);
        releaseDisks(state, entry);
        emit("deleted", entry);
      });
    },
  };
}

/** @throws {GoogleError} NOT_FOUND */
export function findInstance(state: ComputeState, call: Call): Entry<InstanceJson> {
  const reference = call.params["instance"] ?? call.params["resource"] ?? "";
  const { prefix } = state.scope(call);
  const path = `${prefix}/instances/${reference}`;
  const entry =
    state.instances.find(path) ?? state.instances.all(`${prefix}/`).find(({ id }) => id === reference);
  if (entry === undefined) throw notFound(path);
  return entry;
}

/** An instance that is to be changed. @throws {GoogleError} NOT_FOUND, PERMISSION_DENIED, INVALID_ARGUMENT if it is busy */
export function idleInstance(state: ComputeState, call: Call, permission: string): Entry<InstanceJson> {
  const { path } = findInstance(state, call);
  state.require(call, permission, path);
  return state.instances.getIdle(path);
}

function releaseDisks(state: ComputeState, { json }: Entry<InstanceJson>): void {
  for (const { source, autoDelete } of json.disks) {
    const disk = state.disks.all().find(({ json: { selfLink } }) => selfLink === source);
    if (disk === undefined) continue;
    const { users: _released, ...free } = disk.json;
    if (autoDelete) state.disks.remove(disk.path);
    else disk.json = free;
  }
}

type Nic = InstanceJson["networkInterfaces"][number];

function withAddresses(
  { accessConfigs }: Nic,
  change: (address: string | undefined) => string | undefined,
): Pick<Nic, "accessConfigs"> | undefined {
  if (accessConfigs === undefined) return undefined;
  return {
    accessConfigs: accessConfigs.map(({ natIP, ...config }) => {
      const changed = change(natIP);
      return changed === undefined ? config : { ...config, natIP: changed };
    }),
  };
}

function isReserved(state: ComputeState, address: string | undefined): boolean {
  return state.addresses.all().some(({ json }) => json.address === address);
}
