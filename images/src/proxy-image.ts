/**
 * The image of the proxy: a base, and one layer with the proxy as one file. The same sources, base and time give the same
 * digest on every machine: nothing else goes into it.
 */
import { PolarisError } from "@polaris-cvm/sdk/errors";
import * as z from "zod";
import { streamBytes } from "./image.ts";
import type { Image } from "./image.ts";
import { OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, digestOf } from "./manifest.ts";
import type { Descriptor, ImageConfig } from "./manifest.ts";
import { PROXY_ENTRYPOINT, PROXY_FOLDER } from "./proxy-entrypoint.ts";
import { makeProxyLayer } from "./proxy-layer.ts";
import type { ProxyLayer } from "./proxy-layer.ts";
import { readImageConfig } from "./read-image-config.ts";
import { formatSbom } from "./sbom.ts";

/** An image that was just built. */
export interface BuiltImage extends Image {
  /** The one layer on top of the base: a tar, compressed by gzip. */
  readonly layer: Uint8Array;
  /** CycloneDX in JSON. */
  readonly sbom: Uint8Array;
}

/** Nobody of a usual passwd; by number, because a base need not have it. */
const USER = "65532:65532";

/** Port that the proxy listens on if POLARIS_PROXY_PORT does not say otherwise. */
const PORT = "3000/tcp";

const MIN_NODE_MAJOR = 26;

/**
 * Builds the image of this installation's proxy. Nothing is written anywhere; the layers of the base are not read.
 *
 * @param options.base  for linux/amd64, with glibc and Node 26 or newer as `node` in its PATH
 * @param options.baseName  for the SBOM only: an image does not change with where its base was found
 * @param options.layer  what {@link makeProxyLayer} has made (default: made now, with times of 1970)
 * @throws {PolarisError} IMAGE_BUILD_FAILED if the proxy cannot be bundled
 * @throws {PolarisError} IMAGE_INVALID, IMAGE_PLATFORM_MISSING, IMAGE_NOT_SUPPORTED, IMAGE_TOO_LARGE for a base that does
 *   not fit; IMAGE_DIGEST_MISMATCH
 */
export async function buildProxyImage(options: {
  readonly base: Image;
  readonly baseName: string;
  readonly layer?: ProxyLayer;
  readonly signal: AbortSignal;
}): Promise<BuiltImage> {
  const { base, baseName, signal } = options;
  const baseConfig = await readBaseConfig(base, signal);
  const own = options.layer ?? (await makeProxyLayer());
  signal.throwIfAborted();

  const { created, version } = own;
  const config = encode({
    created,
    architecture: baseConfig.architecture,
    os: baseConfig.os,
    config: {
      User: USER,
      ExposedPorts: { [PORT]: {} },
      Env: baseConfig.env,
      Entrypoint: PROXY_ENTRYPOINT,
      WorkingDir: PROXY_FOLDER,
      Labels: formatLabels(own, base),
    },
    rootfs: { type: "layers", diff_ids: [...baseConfig.diffIds, own.diffId] },
    history: [
      ...baseConfig.history,
      { created, created_by: "polaris image build", comment: `polaris-proxy ${version}` },
    ],
  });

  const configBlob = describe(config, OCI_CONFIG);
  const layerBlob = describe(own.bytes, OCI_LAYER_GZIP);
  const layers = [...base.layers.map(toOciLayer), layerBlob];
  const manifest = encode({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: configBlob,
    layers,
    annotations: { "org.opencontainers.image.base.digest": base.manifest.digest },
  });
  const digest = digestOf(manifest);
  const made = new Map([
    [configBlob.digest, config],
    [layerBlob.digest, own.bytes],
  ]);
  const inherited = new Map(base.layers.map((blob) => [blob.digest, blob]));
  return {
    manifest: { bytes: manifest, mediaType: OCI_MANIFEST, digest },
    config: configBlob,
    layers,
    layer: own.bytes,
    sbom: formatSbom({
      digest,
      version,
      created,
      base: { name: baseName, digest: base.manifest.digest, nodeVersion: baseConfig.nodeVersion },
      files: own.files,
      packages: own.packages,
    }),
    openBlob(blob, blobSignal) {
      const bytes = made.get(blob.digest);
      if (bytes !== undefined) return streamBytes(bytes);
      // As the base calls it: there it may be of Docker's media type.
      return base.openBlob(inherited.get(blob.digest) ?? blob, blobSignal);
    },
  };
}

interface BaseConfig extends ImageConfig {
  /** One entry a layer at least. */
  readonly history: readonly Readonly<Record<string, unknown>>[];
  /** Without the `v`; undefined if the base does not say it. */
  readonly nodeVersion: string | undefined;
}

async function readBaseConfig(base: Image, signal: AbortSignal): Promise<BaseConfig> {
  const { config, bytes } = await readImageConfig(base, { subject: "the base image", signal });
  const nodeVersion = readNodeVersion(config.env);
  if (nodeVersion !== undefined && Number(nodeVersion.split(".")[0]) < MIN_NODE_MAJOR) {
    throw new PolarisError(
      "IMAGE_NOT_SUPPORTED",
      `the proxy needs Node ${MIN_NODE_MAJOR} or newer, the base image has ${nodeVersion}`,
      { hint: `take a base with Node ${MIN_NODE_MAJOR}, or none: the default has it` },
    );
  }
  return { ...config, history: readHistory(bytes, base), nodeVersion };
}

/** As the images of Node say it. */
function readNodeVersion(env: readonly string[]): string | undefined {
  return env
    .map((line) => /^NODE_VERSION=v?(\d+\.\d+\.\d+)$/.exec(line)?.[1])
    .find((version) => version !== undefined);
}

const history = z.array(
  z.object({
    created: z.string().exactOptional(),
    created_by: z.string().exactOptional(),
    author: z.string().exactOptional(),
    comment: z.string().exactOptional(),
    empty_layer: z.boolean().exactOptional(),
  }),
);

/** Readers match history and layers by their number: where the base has none that fits, it gets one that does. */
function readHistory(config: Uint8Array, base: Image): z.output<typeof history> {
  const { history: found } = JSON.parse(Buffer.from(config).toString()) as { readonly history?: unknown };
  const parsed = history.safeParse(found);
  const isFitting =
    parsed.success && parsed.data.filter((entry) => entry.empty_layer !== true).length === base.layers.length;
  return isFitting ? parsed.data : base.layers.map(() => ({ comment: "base image" }));
}

/** Every layer is listed in one vocabulary, OCI's; the bytes are the same. */
function toOciLayer({ mediaType, digest, size }: Descriptor): Descriptor {
  const ociType = mediaType
    .replace("vnd.docker.image.rootfs.diff.", "vnd.oci.image.layer.v1.")
    .replace(/\.tar\.(gzip|zstd)$/, ".tar+$1");
  return { mediaType: ociType, digest, size };
}

/** After the annotations of the OCI image specification, by name. */
function formatLabels({ packages, version, repository }: ProxyLayer, base: Image): Record<string, string> {
  const licenses = new Set(packages.map(({ license }) => (license.includes(" ") ? `(${license})` : license)));
  return {
    "org.opencontainers.image.base.digest": base.manifest.digest,
    "org.opencontainers.image.description":
      "Opens sealed requests, forwards them to one workload, seals the responses",
    "org.opencontainers.image.licenses": [...licenses].toSorted().join(" AND "),
    "org.opencontainers.image.revision": `v${version}`,
    ...(repository !== undefined && { "org.opencontainers.image.source": repository }),
    "org.opencontainers.image.title": "Polaris Secure Proxy",
    "org.opencontainers.image.version": version,
  };
}

function describe(bytes: Uint8Array, mediaType: string): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

function encode(document: object): Uint8Array {
  return Buffer.from(JSON.stringify(document));
}
