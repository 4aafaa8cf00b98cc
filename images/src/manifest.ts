/** What an image is made of, after the OCI image format and Docker's schema 2, which it grew out of. */
import { createHash } from "node:crypto";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import * as z from "zod";
import { DIGEST } from "./image-reference.ts";

export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
export const OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip";
export const DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json";
export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
export const DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";

/** Every kind of layer that container engines unpack: a tar, plain or compressed. */
const LAYER_MEDIA_TYPES: ReadonlySet<string> = new Set([
  "application/vnd.oci.image.layer.v1.tar",
  OCI_LAYER_GZIP,
  "application/vnd.oci.image.layer.v1.tar+zstd",
  "application/vnd.docker.image.rootfs.diff.tar",
  "application/vnd.docker.image.rootfs.diff.tar.gzip",
]);

/** What to ask a registry for: whichever of these the image has. */
export const MANIFEST_MEDIA_TYPES = [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST] as const;

/** Longest manifest or index, after the distribution spec. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;

/** Longest configuration: real ones have some kilobytes. */
export const MAX_CONFIG_BYTES = 4 * 1024 * 1024;

const digest = z.string().regex(DIGEST);

const descriptor = z.object({
  mediaType: z.string().min(1).max(255),
  digest,
  size: z.int().min(0),
  annotations: z.record(z.string(), z.string()).exactOptional(),
  artifactType: z.string().exactOptional(),
  /** Where else to get it: only foreign layers have any. */
  urls: z.array(z.string()).exactOptional(),
  platform: z
    .object({ os: z.string(), architecture: z.string(), variant: z.string().exactOptional() })
    .exactOptional(),
});

/** Points to a blob or manifest by its digest (`sha256:` and 64 hex digits); `size` is in bytes. */
export type Descriptor = z.output<typeof descriptor>;

/**
 * Neither document may have the members of the other: what is one thing for us and another for a container engine would run
 * something else than was looked at (image-spec, CVE-2021-41190).
 */
const index = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.enum([OCI_INDEX, DOCKER_INDEX]).exactOptional(),
  manifests: z.array(descriptor).max(1024),
  config: z.never().exactOptional(),
  layers: z.never().exactOptional(),
});

const manifest = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.enum([OCI_MANIFEST, DOCKER_MANIFEST]).exactOptional(),
  artifactType: z.string().exactOptional(),
  config: descriptor,
  layers: z.array(descriptor).max(1024),
  /** The manifest that this one is about. */
  subject: descriptor.exactOptional(),
  manifests: z.never().exactOptional(),
});

const stringList = z
  .array(z.string())
  .nullish()
  .transform((list) => list ?? []);

const imageConfig = z.object({
  architecture: z.string(),
  os: z.string(),
  config: z
    .object({
      Entrypoint: stringList,
      Cmd: stringList,
      Env: stringList,
      User: z.string().nullish(),
      WorkingDir: z.string().nullish(),
      ExposedPorts: z.record(z.string(), z.unknown()).nullish(),
      Labels: z.record(z.string(), z.string()).nullish(),
    })
    .nullish(),
  rootfs: z.object({ type: z.literal("layers"), diff_ids: z.array(digest) }),
});

export type Index = z.output<typeof index>;
export type Manifest = z.output<typeof manifest>;

/** What an image says of how it is to be run. */
export interface ImageConfig {
  readonly os: string;
  readonly architecture: string;
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** `NAME=value` */
  readonly env: readonly string[];
  /** Empty: root. */
  readonly user: string;
  readonly workingDir: string;
  /** `8080/tcp`, in order. */
  readonly exposedPorts: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** Digests of the uncompressed layers. */
  readonly diffIds: readonly string[];
}

export function isIndexType(mediaType: string): boolean {
  return mediaType === OCI_INDEX || mediaType === DOCKER_INDEX;
}

export function isManifestType(mediaType: string): boolean {
  return mediaType === OCI_MANIFEST || mediaType === DOCKER_MANIFEST;
}

export function isConfigType(mediaType: string): boolean {
  return mediaType === OCI_CONFIG || mediaType === DOCKER_CONFIG;
}

/**
 * @param mediaType  what it was announced as, by a header or a descriptor
 * @throws {PolarisError} IMAGE_INVALID, also if it calls itself something else
 */
export function parseIndex(bytes: Uint8Array, mediaType?: string): Index {
  return requireAnnounced(parse(index, bytes, "index"), mediaType, "index");
}

/**
 * @param mediaType  what it was announced as, by a header or a descriptor
 * @throws {PolarisError} IMAGE_INVALID, also if it calls itself something else
 */
export function parseManifest(bytes: Uint8Array, mediaType?: string): Manifest {
  return requireAnnounced(parse(manifest, bytes, "manifest"), mediaType, "manifest");
}

/** For what no builder would have made so. */
const PUSH_AGAIN = "build the image again and push it with a current tool";

/** A document's own media type has to be the announced one (image-spec, "Image Manifest" and "Image Index"). */
function requireAnnounced<T extends { readonly mediaType?: string }>(
  document: T,
  mediaType: string | undefined,
  what: string,
): T {
  if (mediaType === undefined || document.mediaType === undefined || document.mediaType === mediaType) {
    return document;
  }
  throw new PolarisError(
    "IMAGE_INVALID",
    `the image's ${what} calls itself ${document.mediaType}, expected ${JSON.stringify(mediaType)} as announced`,
    { hint: PUSH_AGAIN },
  );
}

/**
 * Refuses a manifest that is not of an image that could be run and copied: other artefacts, unknown kinds of layers, and
 * foreign layers, whose bytes no registry has to keep.
 *
 * @throws {PolarisError} IMAGE_INVALID
 */
export function requireRunnable(of: Manifest): void {
  if (!isConfigType(of.config.mediaType)) {
    const kind = of.artifactType ?? of.config.mediaType;
    throw new PolarisError(
      "IMAGE_INVALID",
      `it is no image to run, but of the kind ${JSON.stringify(kind)}`,
      {
        hint: "name an image that container engines run: charts, signatures and other artefacts are none",
      },
    );
  }
  const foreign = of.layers.find(isForeign);
  if (foreign !== undefined) {
    throw new PolarisError(
      "IMAGE_INVALID",
      `layer ${foreign.digest} is foreign: the registry need not have it`,
      { hint: "build it on a base image that has all of its layers in its registry" },
    );
  }
  const unknown = of.layers.find((layer) => !LAYER_MEDIA_TYPES.has(layer.mediaType));
  if (unknown !== undefined) {
    throw new PolarisError(
      "IMAGE_INVALID",
      `layer ${unknown.digest} is of an unknown kind, ${JSON.stringify(unknown.mediaType)}`,
      { hint: "build it with layers that every engine unpacks: a tar, plain or with gzip or zstd" },
    );
  }
}

function isForeign({ mediaType, urls }: Descriptor): boolean {
  return (urls ?? []).length > 0 || /\.nondistributable\.|\.foreign\./.test(mediaType);
}

/** @throws {PolarisError} IMAGE_INVALID */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const { os, architecture, config, rootfs } = parse(imageConfig, bytes, "configuration");
  return {
    os,
    architecture,
    entrypoint: config?.Entrypoint ?? [],
    cmd: config?.Cmd ?? [],
    env: config?.Env ?? [],
    user: config?.User ?? "",
    workingDir: config?.WorkingDir ?? "",
    exposedPorts: Object.keys(config?.ExposedPorts ?? {}).toSorted(),
    labels: config?.Labels ?? {},
    diffIds: rootfs.diff_ids,
  };
}

/** `sha256:` and 64 lower-case hex digits. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

function parse<T>(schema: z.ZodType<T>, bytes: Uint8Array, what: string): T {
  let json: unknown;
  try {
    json = JSON.parse(utf8.decode(bytes));
  } catch {
    // No cause: the parser's own error quotes the text, which is the server's.
    throw new PolarisError("IMAGE_INVALID", `the image's ${what} is not JSON`, { hint: PUSH_AGAIN });
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const where = parsed.error.issues[0]?.path.join(".") ?? "";
  throw new PolarisError("IMAGE_INVALID", `the image's ${what} is not one: ${where || "its form"} is wrong`, {
    hint: PUSH_AGAIN,
  });
}
