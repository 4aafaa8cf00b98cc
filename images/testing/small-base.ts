/** A base image with one small layer, in memory, for what is about images and not about running them. */
import { gzipSync } from "node:zlib";
import type { Image } from "../src/image.ts";
import { writeArchive } from "../src/layer-archive.ts";
import { OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, digestOf } from "../src/manifest.ts";
import type { Descriptor } from "../src/manifest.ts";

export interface SmallBase {
  readonly architecture?: string;
  readonly env?: readonly string[];
  readonly history?: readonly object[];
  readonly configType?: string;
  readonly layerType?: string;
  readonly manifestType?: string;
  /** Digests that the configuration tells of, in place of the right ones. */
  readonly diffIds?: readonly string[];
}

const ARCHIVE = writeArchive([{ path: "etc/base", content: Buffer.from("base\n") }], 0);

export function createSmallBase(given: SmallBase = {}): Image {
  const { manifestType = OCI_MANIFEST } = given;
  const layer = gzipSync(ARCHIVE);
  const config = encode({
    architecture: given.architecture ?? "amd64",
    os: "linux",
    config: {
      Env: given.env ?? ["PATH=/usr/local/bin:/usr/bin", "NODE_VERSION=26.10.0"],
      User: "node",
      Volumes: { "/data": {} },
      Labels: { "com.example.base": "yes" },
    },
    rootfs: { type: "layers", diff_ids: given.diffIds ?? [digestOf(ARCHIVE)] },
    ...(given.history !== undefined && { history: given.history }),
  });
  const layers = [describe(layer, given.layerType ?? OCI_LAYER_GZIP)];
  const configBlob = describe(config, given.configType ?? OCI_CONFIG);
  return assembleImage({
    manifest: encode({ schemaVersion: 2, mediaType: manifestType, config: configBlob, layers }),
    manifestType,
    config: configBlob,
    layers,
    blobs: [config, layer],
  });
}

/** An image of bytes in memory. Only by its own descriptors can blobs be opened, as in a registry. */
function assembleImage(parts: {
  readonly manifest: Uint8Array;
  readonly manifestType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly blobs: readonly Uint8Array[];
}): Image {
  const byDigest = new Map(parts.blobs.map((bytes) => [digestOf(bytes), bytes]));
  const known = new Set([parts.config, ...parts.layers].map(({ mediaType, digest }) => mediaType + digest));
  return {
    manifest: { bytes: parts.manifest, mediaType: parts.manifestType, digest: digestOf(parts.manifest) },
    config: parts.config,
    layers: parts.layers,
    async *openBlob({ mediaType, digest }) {
      const bytes = byDigest.get(digest);
      if (bytes === undefined || !known.has(mediaType + digest)) throw new Error(`no ${mediaType} ${digest}`);
      // In two pieces, as bytes come from elsewhere.
      yield bytes.subarray(0, 10);
      yield bytes.subarray(10);
    },
  };
}

function describe(bytes: Uint8Array, mediaType: string): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

function encode(document: object): Uint8Array {
  return Buffer.from(JSON.stringify(document));
}
