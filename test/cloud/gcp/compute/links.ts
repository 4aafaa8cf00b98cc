/** Links of compute begin with this, wherever the API is served: clients compare them as text. */
const BASE = "https://www.googleapis.com/compute/v1/";

/** @param path for example `projects/p/zones/z/instances/i` */
export function linkTo(path: string): string {
  return BASE + path;
}

/** The resource path of a link, of a path, or of a part of one that leaves the project out; undefined if it is none of them. */
export function pathOf(reference: string, projectId: string): string | undefined {
  const path = reference.replace(
    /^https:\/\/(?:www\.googleapis\.com|compute\.googleapis\.com)\/compute\/(?:v1|beta)\//,
    "",
  );
  if (path.includes("://")) return undefined;
  if (path.startsWith("projects/")) return path;
  return /^(global|regions|zones)\//.test(path) ? `projects/${projectId}/${path}` : undefined;
}

export function lastSegment(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

export function regionOf(zone: string): string {
  return zone.slice(0, zone.lastIndexOf("-"));
}
