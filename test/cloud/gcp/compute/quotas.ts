import type { Project } from "../world.ts";
import { DISK_TYPES, MACHINE_TYPES } from "./catalog.ts";
import { OperationError } from "./compute-operations.ts";
import type { ComputeState } from "./compute-state.ts";
import { lastSegment, regionOf } from "./links.ts";

/** Limits of a region where the world says nothing else. */
const DEFAULT_LIMITS = {
  CPUS: 24,
  N2D_CPUS: 24,
  SSD_TOTAL_GB: 500,
  DISKS_TOTAL_GB: 4096,
  IN_USE_ADDRESSES: 8,
  STATIC_ADDRESSES: 8,
  INSTANCES: 24,
} as const;
const DEFAULT_CPUS_ALL_REGIONS = 32;

export type Metric = keyof typeof DEFAULT_LIMITS;
export type Usage = Partial<Record<Metric, number>>;

export interface Quota {
  readonly metric: string;
  readonly limit: number;
  readonly usage: number;
}

/** What machines of a type count against: N2D has CPUs of its own. */
export function cpuMetric(machineType: string): Metric {
  return machineType.startsWith("n2d-") ? "N2D_CPUS" : "CPUS";
}

export function cpuCount(machineType: string): number {
  return MACHINE_TYPES.find(({ name }) => name === machineType)?.cpuCount ?? 0;
}

export function regionQuotas(state: ComputeState, project: Project, region: string): readonly Quota[] {
  const usage = regionUsage(state, project, region);
  return Object.entries(DEFAULT_LIMITS).map(([metric, limit]) => ({
    metric,
    limit: project.quotas.get(`${region}/${metric}`) ?? limit,
    usage: usage[metric as Metric] ?? 0,
  }));
}

export function projectQuotas(state: ComputeState, project: Project): readonly Quota[] {
  const prefix = `projects/${project.projectId}/`;
  const running = state.instances.all(prefix).filter(({ json }) => json.status !== "TERMINATED");
  return [
    {
      metric: "CPUS_ALL_REGIONS",
      limit: project.quotas.get("global/CPUS_ALL_REGIONS") ?? DEFAULT_CPUS_ALL_REGIONS,
      usage: running.reduce((sum, { json }) => sum + cpuCount(lastSegment(json.machineType)), 0),
    },
    {
      metric: "NETWORKS",
      limit: project.quotas.get("global/NETWORKS") ?? 15,
      usage: state.networks.all(prefix).length,
    },
  ];
}

/** How an operation ends that needs more than there is; undefined if there is enough. */
export function quotaError(
  state: ComputeState,
  project: Project,
  region: string,
  more: Usage,
): OperationError | undefined {
  const over = regionQuotas(state, project, region).find(
    ({ metric, limit, usage }) =>
      usage + (more[metric as Metric] ?? 0) > limit && (more[metric as Metric] ?? 0) > 0,
  );
  if (over !== undefined) return exceeded(over, `in region ${region}`, "region", { region });
  const cpus = (more.CPUS ?? 0) + (more.N2D_CPUS ?? 0);
  const all = projectQuotas(state, project).find(({ metric }) => metric === "CPUS_ALL_REGIONS");
  if (all === undefined || all.usage + cpus <= all.limit || cpus === 0) return undefined;
  return exceeded(all, "globally", "project", {});
}

function exceeded(
  { metric, limit }: Quota,
  where: string,
  per: string,
  dimensions: Readonly<Record<string, string>>,
): OperationError {
  const shown = limit.toFixed(1);
  return new OperationError(
    "QUOTA_EXCEEDED",
    `Quota '${metric}' exceeded.  Limit: ${shown} ${where}.`,
    [403, "FORBIDDEN"],
    [
      {
        quotaInfo: {
          metricName: `compute.googleapis.com/${metric.toLowerCase()}`,
          limitName: `${metric.replaceAll("_", "-")}-per-project${per === "region" ? "-region" : ""}`,
          dimensions,
          limit,
        },
      },
    ],
  );
}

function regionUsage(state: ComputeState, project: Project, region: string): Usage {
  const usage: Usage = {};
  const add = (metric: Metric, amount: number): void => {
    usage[metric] = (usage[metric] ?? 0) + amount;
  };
  const isHere = (path: string): boolean => regionOf(path.split("/")[3] ?? "") === region;
  const zones = `projects/${project.projectId}/zones/`;
  for (const { json } of state.instances.all(zones).filter(({ path }) => isHere(path))) {
    const machineType = lastSegment(json.machineType);
    add("INSTANCES", 1);
    // A stopped machine gives its processors back.
    if (json.status !== "TERMINATED") add(cpuMetric(machineType), cpuCount(machineType));
    add(
      "IN_USE_ADDRESSES",
      json.networkInterfaces.filter(({ accessConfigs = [] }) => accessConfigs.length > 0).length,
    );
  }
  for (const { json } of state.disks.all(zones).filter(({ path }) => isHere(path))) {
    add(DISK_TYPES.get(lastSegment(json.type)) ?? "DISKS_TOTAL_GB", Number(json.sizeGb));
  }
  add("STATIC_ADDRESSES", state.addresses.all(`projects/${project.projectId}/regions/${region}/`).length);
  return usage;
}
