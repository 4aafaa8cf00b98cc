import type { Handler } from "../api.ts";
import { type CatalogImage, IMAGES } from "./catalog.ts";
import type { ComputeState } from "./compute-state.ts";
import { notFound } from "./compute-errors.ts";
import { linkTo, pathOf } from "./links.ts";
import { fingerprintOf } from "./store.ts";

const CREATED = "2026-11-03T09:00:00.000-08:00";

/** Images of Google's public projects. */
export function imageMethods(state: ComputeState): Readonly<Record<string, Handler>> {
  return {
    "compute.images.get": (call) => {
      const path = `projects/${call.params["project"] ?? ""}/global/images/${call.params["image"] ?? ""}`;
      requireReadable(path);
      return toJson(findImage(path) ?? fail(path));
    },
    "compute.images.getFromFamily": (call) => {
      const path = `projects/${call.params["project"] ?? ""}/global/images/family/${call.params["family"] ?? ""}`;
      requireReadable(path);
      return toJson(findImage(path) ?? fail(path));
    },
  };

  /** Everybody may read the images of public projects, and nobody has any in a project of this world. */
  function requireReadable(path: string): void {
    const project = path.split("/")[1] ?? "";
    if (!state.world.publicProjects.has(project)) throw notFound(path);
  }
}

function fail(path: string): never {
  throw notFound(path);
}

/** The image of a path; of a family, the newest one that is not deprecated. */
export function findImage(path: string): CatalogImage | undefined {
  const match = /^projects\/([^/]+)\/global\/images\/(?:(family)\/)?([^/]+)$/.exec(path);
  if (match === null) return undefined;
  const [, project, isFamily, name] = match;
  return IMAGES.find((image) =>
    isFamily === undefined
      ? image.project === project && image.name === name
      : image.project === project && image.family === name && !image.isDeprecated,
  );
}

/** The image that a machine's disk is made from; `sourceImage` may be a link, a path, or `global/images/…`. */
export function imageOf(sourceImage: string, projectId: string): CatalogImage | undefined {
  const path = pathOf(sourceImage, projectId);
  return path === undefined ? undefined : findImage(path);
}

export function imagePath({ project, name }: CatalogImage): string {
  return `projects/${project}/global/images/${name}`;
}

/** Numbers that stay the same for a name. */
function numberOf(name: string): string {
  return BigInt(`0x${Buffer.from(fingerprintOf(name)).toString("hex").slice(0, 15)}`).toString();
}

function toJson(image: CatalogImage): object {
  return {
    kind: "compute#image",
    id: numberOf(image.name),
    creationTimestamp: CREATED,
    name: image.name,
    family: image.family,
    description: `${image.family} ${image.name}`,
    sourceType: "RAW",
    status: "READY",
    archiveSizeBytes: "1234567890",
    diskSizeGb: String(image.diskSizeGb),
    architecture: "X86_64",
    guestOsFeatures: image.features.map((type) => ({ type })),
    licenses: [linkTo(`projects/${image.project}/global/licenses/${image.family}`)],
    storageLocations: ["us", "eu", "asia"],
    ...(image.isDeprecated ? { deprecated: { state: "DEPRECATED" } } : {}),
    labelFingerprint: "42WmSpB8rSM=",
    selfLink: linkTo(imagePath(image)),
  };
}
