import type { Handler } from "../api.ts";
import {
  type CatalogMachineType,
  findMachineType,
  MACHINE_TYPES,
  regionNames,
  ZONES,
  type CatalogZone,
} from "./catalog.ts";
import type { ComputeState } from "./compute-state.ts";
import { notFound } from "./compute-errors.ts";
import { linkTo, regionOf } from "./links.ts";
import { listOf } from "./list.ts";
import { projectQuotas, regionQuotas } from "./quotas.ts";
import { fingerprintOf } from "./store.ts";

const CREATED = "1969-12-31T16:00:00.000-08:00";

/** What a project finds: zones, regions, machine types, and itself. */
export function catalogMethods(state: ComputeState): Readonly<Record<string, Handler>> {
  const baseOf = (params: Readonly<Record<string, string>>): string =>
    `projects/${state.world.project(params["project"] ?? "").projectId}`;
  const region = (projectId: string, name: string): object => ({
    kind: "compute#region",
    id: "1000",
    creationTimestamp: CREATED,
    name,
    description: name,
    status: "UP",
    zones: ZONES.filter((zone) => regionOf(zone.name) === name).map((zone) =>
      linkTo(`projects/${projectId}/zones/${zone.name}`),
    ),
    quotas: regionQuotas(state, state.world.project(projectId), name),
    selfLink: linkTo(`projects/${projectId}/regions/${name}`),
  });

  return {
    "compute.zones.get": (call) => {
      const base = baseOf(call.params);
      const path = `${base}/zones/${call.params["zone"] ?? ""}`;
      state.require(call, "compute.zones.get", base);
      const zone = ZONES.find(({ name }) => name === call.params["zone"]);
      if (zone === undefined) throw notFound(path);
      return zoneJson(base, zone);
    },
    "compute.zones.list": (call) => {
      const base = baseOf(call.params);
      state.require(call, "compute.zones.list", base);
      return listOf(
        call,
        "compute#zoneList",
        `${base}/zones`,
        ZONES.map((zone) => zoneJson(base, zone)),
      );
    },
    "compute.regions.get": (call) => {
      const base = baseOf(call.params);
      state.require(call, "compute.regions.get", base);
      const name = call.params["region"] ?? "";
      if (!regionNames().includes(name)) throw notFound(`${base}/regions/${name}`);
      return region(base.slice("projects/".length), name);
    },
    "compute.regions.list": (call) => {
      const base = baseOf(call.params);
      state.require(call, "compute.regions.list", base);
      const all = regionNames().map((name) => region(base.slice("projects/".length), name));
      return listOf(call, "compute#regionList", `${base}/regions`, all);
    },
    "compute.machineTypes.get": (call) => {
      const { prefix } = state.scope(call);
      const path = `${prefix}/machineTypes/${call.params["machineType"] ?? ""}`;
      state.require(call, "compute.machineTypes.get", path);
      const type = findMachineType(call.params["zone"] ?? "", call.params["machineType"] ?? "");
      if (type === undefined) throw notFound(path);
      return machineTypeJson(prefix, type);
    },
    "compute.machineTypes.list": (call) => {
      const { prefix } = state.scope(call);
      state.require(call, "compute.machineTypes.list", prefix);
      const types = MACHINE_TYPES.filter(
        ({ name }) => findMachineType(call.params["zone"] ?? "", name) !== undefined,
      );
      return listOf(
        call,
        "compute#machineTypeList",
        `${prefix}/machineTypes`,
        types.map((type) => machineTypeJson(prefix, type)),
      );
    },
    "compute.projects.get": (call) => {
      const project = state.world.project(call.params["project"] ?? "");
      const path = `projects/${project.projectId}`;
      state.require(call, "compute.projects.get", path);
      return {
        kind: "compute#project",
        id: project.projectNumber,
        creationTimestamp: CREATED,
        name: project.projectId,
        commonInstanceMetadata: { kind: "compute#metadata", fingerprint: fingerprintOf([]) },
        quotas: projectQuotas(state, project),
        defaultServiceAccount: `${project.projectNumber}-compute@developer.gserviceaccount.com`,
        defaultNetworkTier: "PREMIUM",
        xpnProjectStatus: "UNSPECIFIED_XPN_PROJECT_STATUS",
        selfLink: linkTo(path),
      };
    },
  };
}

function zoneJson(base: string, zone: CatalogZone): object {
  return {
    kind: "compute#zone",
    id: "2000",
    creationTimestamp: CREATED,
    name: zone.name,
    description: zone.name,
    status: "UP",
    region: linkTo(`${base}/regions/${regionOf(zone.name)}`),
    availableCpuPlatforms: zone.cpuPlatforms,
    selfLink: linkTo(`${base}/zones/${zone.name}`),
  };
}

function machineTypeJson(prefix: string, type: CatalogMachineType): object {
  return {
    kind: "compute#machineType",
    id: "801002",
    creationTimestamp: CREATED,
    name: type.name,
    description: `${type.cpuCount} vCPUs, ${type.memoryMb / 1024} GB RAM`,
    guestCpus: type.cpuCount,
    memoryMb: type.memoryMb,
    imageSpaceGb: 0,
    maximumPersistentDisks: 128,
    maximumPersistentDisksSizeGb: "263168",
    isSharedCpu: type.name === "e2-medium",
    architecture: "X86_64",
    zone: prefix.slice(prefix.lastIndexOf("/") + 1),
    selfLink: linkTo(`${prefix}/machineTypes/${type.name}`),
  };
}
