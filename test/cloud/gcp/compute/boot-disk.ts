import { type CatalogImage, DISK_TYPES } from "./catalog.ts";
import { invalidValue, required } from "./compute-errors.ts";
import type { Scope } from "./compute-state.ts";
import { requireDiskSize } from "./disks.ts";
import { requireName } from "./field-rules.ts";
import { imageOf } from "./images.ts";
import type { InstanceBody } from "./instance-body.ts";
import { lastSegment, pathOf } from "./links.ts";

/** The disk that is made with a machine. */
export interface BootDisk {
  readonly path: string;
  readonly image: CatalogImage;
  readonly sizeGb: number;
  readonly type: string;
  readonly mode: string;
  readonly deviceName: string;
  readonly autoDelete: boolean;
  readonly labels: Readonly<Record<string, string>> | undefined;
}

/** @throws {GoogleError} INVALID_ARGUMENT */
export function requireBootDisk(scope: Scope, body: InstanceBody): BootDisk {
  const field = "resource.disks[0]";
  const [disk, ...more] = body.disks ?? [];
  if (disk === undefined) throw required("resource.disks");
  if (more.length > 0) throw new Error("this cloud has instances with one disk only");
  if (disk.source !== undefined) throw new Error("this cloud makes the disks of instances from images only");
  if (disk.boot !== true) throw invalidValue(field, disk, "The first disk must be the boot disk.");
  const { sourceImage, diskType, diskSizeGb, diskName, labels } = disk.initializeParams ?? {};
  if (sourceImage === undefined) throw invalidValue(field, disk, "Boot disk must have a source specified.");
  const image = imageOf(sourceImage, scope.project.projectId);
  const imageField = `${field}.initializeParams.sourceImage`;
  if (image === undefined) {
    throw invalidValue(imageField, sourceImage, "The referenced image resource cannot be found.");
  }
  if (disk.mode !== undefined && disk.mode !== "READ_WRITE") {
    throw invalidValue(`${field}.mode`, disk.mode, "Boot disk must be in read/write mode.");
  }
  const type = diskType === undefined ? "pd-standard" : lastSegment(diskType);
  const typePath = diskType === undefined ? undefined : pathOf(diskType, scope.project.projectId);
  const isWrongType = diskType !== undefined && typePath !== `${scope.prefix}/diskTypes/${type}`;
  if (isWrongType || !DISK_TYPES.has(type)) {
    throw invalidValue(
      `${field}.initializeParams.diskType`,
      diskType,
      "The referenced diskType resource cannot be found.",
    );
  }
  return {
    path: `${scope.prefix}/disks/${requireName(diskName ?? body.name)}`,
    image,
    sizeGb: requireDiskSize(`${field}.initializeParams.diskSizeGb`, diskSizeGb, image),
    type,
    mode: "READ_WRITE",
    deviceName: disk.deviceName ?? "persistent-disk-0",
    autoDelete: disk.autoDelete ?? false,
    labels,
  };
}
