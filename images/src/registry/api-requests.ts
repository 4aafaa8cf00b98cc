import type { ImageReference, RepositoryName } from "../image-reference.ts";
import { MANIFEST_MEDIA_TYPES } from "../manifest.ts";
import type { Descriptor } from "../manifest.ts";
import type { AuthorizationRequest } from "./authentication.ts";
import type { UnauthorizedRequest } from "./authorized-requests.ts";
import { registryOrigin } from "./registry-host.ts";

/** @param path  behind `/v2/<name>/` */
export function apiUrl({ registry, repository }: RepositoryName, path: string): URL {
  return new URL(`/v2/${repository}/${path}`, registryOrigin(registry));
}

export function manifestRequest(method: "GET" | "HEAD", reference: ImageReference): UnauthorizedRequest {
  return {
    method,
    url: apiUrl(reference, `manifests/${reference.digest ?? reference.tag ?? "latest"}`),
    headers: { accept: MANIFEST_MEDIA_TYPES.join(", ") },
  };
}

/** Asks for a blob from an offset on (distribution spec, "Pulling blobs"; RFC 9110 §14.2). */
export function blobRequest(
  repository: RepositoryName,
  { digest, size }: Pick<Descriptor, "digest" | "size">,
  offset: number,
): UnauthorizedRequest {
  return {
    method: "GET",
    url: apiUrl(repository, `blobs/${digest}`),
    headers: offset === 0 ? {} : { range: `bytes=${offset}-${size - 1}` },
  };
}

/** Asks for a place to upload to, which the answer's Location names. */
export function startOfUpload(url: URL): UnauthorizedRequest {
  return { method: "POST", url, body: "" };
}

export function askToPull(
  { registry, repository }: RepositoryName,
  subject: string,
  signal: AbortSignal,
): AuthorizationRequest {
  return { registry, scopes: [`repository:${repository}:pull`], subject, signal };
}

export function askToPush(
  { registry, repository }: RepositoryName,
  subject: string,
  signal: AbortSignal,
): AuthorizationRequest {
  return { registry, scopes: [`repository:${repository}:pull,push`], subject, signal };
}

/** How errors call a blob. */
export function blobSubject({ registry, repository }: RepositoryName, digest: string): string {
  return `blob ${digest} of ${registry}/${repository}`;
}
