import type { Call, Handler } from "../api.ts";
import { type CatalogImage, DISK_TYPES } from "./catalog.ts";
import type { ComputeState } from "./compute-state.ts";
import { inUse, invalidValue, required } from "./compute-errors.ts";
import { imagePath } from "./images.ts";
import { listOf } from "./list.ts";
import { quotaError } from "./quotas.ts";
import { type Entry, fingerprintOf } from "./store.ts";
import { lastSegment, linkTo, regionOf } from "./links.ts";

export interface DiskJson {
  readonly sourceImage: string;
  readonly kind: "compute#disk";
  readonly name: string;
  /** Decimal. */
  readonly sizeGb: string;
  readonly type: string;
  readonly selfLink: string;
  readonly users?: readonly string[];
}

const MAX_SIZE_GB = 65_536;

/** Disks: here they come and go with their machines. */
export function diskMethods(state: ComputeState): Readonly<Record<string, Handler>> {
  const named = (call: Call): Entry<DiskJson> => state.named(call, state.disks, "disks", "disk");
  return {
    "compute.disks.get": (call) => {
      const entry = named(call);
      state.require(call, "compute.disks.get", entry.path);
      return entry.json;
    },
    "compute.disks.list": (call) => {
      const { prefix } = state.scope(call);
      state.require(call, "compute.disks.list", prefix);
      const all = state.disks.all(`${prefix}/`).filter(({ isVisible }) => isVisible);
      return listOf(
        call,
        "compute#diskList",
        `${prefix}/disks`,
        all.map(({ json }) => json),
      );
    },
    "compute.disks.resize": (call) => {
      const { project } = state.scope(call);
      const entry = state.disks.getIdle(named(call).path);
      state.require(call, "compute.disks.resize", entry.path);
      const { sizeGb } = call.body as { readonly sizeGb?: string };
      if (sizeGb === undefined) throw required("sizeGb");
      if (Number(sizeGb) <= Number(entry.json.sizeGb) || Number(sizeGb) > MAX_SIZE_GB) {
        throw invalidValue(
          "sizeGb",
          sizeGb,
          `New disk size '${sizeGb}' GB must be larger than existing size '${entry.json.sizeGb}' GB.`,
        );
      }
      const metric = DISK_TYPES.get(lastSegment(entry.json.type)) ?? "DISKS_TOTAL_GB";
      const region = regionOf(call.params["zone"] ?? "");
      return state.change(call, entry, "resizeDisk", () => {
        const over = quotaError(state, project, region, {
          [metric]: Number(sizeGb) - Number(entry.json.sizeGb),
        });
        if (over !== undefined) throw over;
        entry.json = { ...entry.json, sizeGb };
      });
    },
    "compute.disks.delete": (call) => {
      const entry = state.disks.getIdle(named(call).path);
      state.require(call, "compute.disks.delete", entry.path);
      const user = entry.json.users?.[0];
      if (user !== undefined) throw inUse(entry.path, user.slice(user.indexOf("projects/")));
      return state.remove(call, state.disks, entry);
    },
  };
}

export interface NewDisk {
  readonly path: string;
  readonly sizeGb: number;
  readonly type: string;
  readonly image: CatalogImage;
  readonly labels: Readonly<Record<string, string>> | undefined;
  readonly userLink: string;
}

/** @param zonePrefix for example `projects/p/zones/z` */
export function diskJson(state: ComputeState, zonePrefix: string, id: string, disk: NewDisk): DiskJson {
  const json = {
    kind: "compute#disk" as const,
    id,
    creationTimestamp: state.timestamp(),
    name: lastSegment(disk.path),
    sizeGb: String(disk.sizeGb),
    zone: linkTo(zonePrefix),
    status: "READY",
    sourceImage: linkTo(imagePath(disk.image)),
    sourceImageId: "5926592092274602096",
    type: linkTo(`${zonePrefix}/diskTypes/${disk.type}`),
    licenses: [linkTo(`projects/${disk.image.project}/global/licenses/${disk.image.family}`)],
    guestOsFeatures: disk.image.features.map((type) => ({ type })),
    lastAttachTimestamp: state.timestamp(),
    users: [disk.userLink],
    ...(disk.labels === undefined ? {} : { labels: disk.labels }),
    labelFingerprint: fingerprintOf(disk.labels ?? {}),
    physicalBlockSizeBytes: "4096",
    architecture: "X86_64",
    selfLink: linkTo(disk.path),
  };
  return json;
}

/** The smallest disk that an image fits on, and the largest that there is. */
export function requireDiskSize(field: string, sizeGb: string | undefined, image: CatalogImage): number {
  if (sizeGb === undefined) return image.diskSizeGb;
  const size = Number(sizeGb);
  if (size < image.diskSizeGb) {
    throw invalidValue(
      field,
      sizeGb,
      `Requested disk size cannot be smaller than the image size (${image.diskSizeGb} GB)`,
    );
  }
  if (size > MAX_SIZE_GB)
    throw invalidValue(field, sizeGb, `Disk size cannot be larger than ${MAX_SIZE_GB} GB.`);
  return size;
}
