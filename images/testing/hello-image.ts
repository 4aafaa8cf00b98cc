import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import type { Image } from "../src/image.ts";
import { writeArchive } from "../src/layer-archive.ts";
import { digestOf, OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, parseImageConfig } from "../src/manifest.ts";
import type { Descriptor } from "../src/manifest.ts";
import { readSmallBlob } from "../src/read-bytes.ts";

const SERVER = fileURLToPath(new URL("../../examples/hello/server.js", import.meta.url));
const OPEN_DATA = fileURLToPath(new URL("./open-data.ts", import.meta.url));

/**
 * The workload of `examples/hello` as an image that runs, on a base with Node; it exposes port 8000. Beside it,
 * `/app/open-data.js` opens sealed data.
 */
export async function createHelloImage(base: Image, signal: AbortSignal): Promise<Image> {
  const archive = writeArchive(
    [
      { path: "app/server.js", content: await readFile(SERVER) },
      { path: "app/open-data.js", content: await bundleProgram(OPEN_DATA) },
      { path: "app/package.json", content: Buffer.from('{"type":"module"}') },
    ],
    0,
  );
  const layer = gzipSync(archive);
  const baseConfig = parseImageConfig(
    await readSmallBlob(base.config, base.openBlob, { what: "the base", maxBytes: 1024 * 1024, signal }),
  );
  const config = encode({
    architecture: "amd64",
    os: "linux",
    config: {
      Env: [...baseConfig.env, "GREETING=from the image"],
      User: "1000:1000",
      Entrypoint: ["node", "/app/server.js"],
      ExposedPorts: { "8000/tcp": {} },
    },
    rootfs: { type: "layers", diff_ids: [...baseConfig.diffIds, digestOf(archive)] },
  });
  const configBlob = describe(config, OCI_CONFIG);
  const layerBlob = describe(layer, OCI_LAYER_GZIP);
  const layers = [...base.layers, layerBlob];
  const manifest = encode({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: configBlob, layers });
  const own = new Map([
    [configBlob.digest, config],
    [layerBlob.digest, layer],
  ]);
  return {
    manifest: { bytes: manifest, mediaType: OCI_MANIFEST, digest: digestOf(manifest) },
    config: configBlob,
    layers,
    async *openBlob(blob, blobSignal) {
      const bytes = own.get(blob.digest);
      if (bytes === undefined) yield* base.openBlob(blob, blobSignal);
      else yield bytes;
    },
  };
}

/** A program and the packages that it imports in one module: an image has no `node_modules`. */
async function bundleProgram(entry: string): Promise<Uint8Array> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    logLevel: "silent",
  });
  const [bundle] = outputFiles;
  if (bundle === undefined) throw new Error(`nothing came of ${entry}`);
  return bundle.contents;
}

function describe(bytes: Uint8Array, mediaType: string): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

function encode(document: object): Uint8Array {
  return Buffer.from(JSON.stringify(document));
}
