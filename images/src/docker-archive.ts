/**
 * Images as one file that `docker load`, `podman load` and skopeo's `docker-archive:` read. The same file is an OCI layout
 * too (skopeo's `oci-archive:`), as `docker save` writes it since version 25: so an engine that keeps OCI images keeps the
 * digest of this one.
 */
import { rename } from "node:fs/promises";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { listBlobs } from "./image.ts";
import type { Image } from "./image.ts";
import { ARCHIVE_END, MAX_ARCHIVE_NUMBER, formatFileHead, formatFolder, paddingOf } from "./layer-archive.ts";
import { LAYOUT_MARKER, blobPath, formatLayoutIndex } from "./layout.ts";
import { writeAside, writeNewFile } from "./written-aside.ts";

export interface DockerArchiveOptions {
  readonly names: readonly string[];
  readonly signal: AbortSignal;
  readonly durable?: boolean;
  readonly beforePlaced?: () => Promise<void>;
}

/**
 * Writes an image as an archive, in place of whatever file is there. It is written under another name and,
 * once all of it is on the disk, renamed.
 *
 * @param options.names  what the image is called after it was loaded, such as `polaris-proxy:0.1.0`; may be empty
 * @param options.durable  wait until it is on the disk (default); for an archive that goes again at once there is no need
 * @param options.beforePlaced  called when all of it is written and the file that it replaces is still there
 * @throws {PolarisError} IMAGE_TOO_LARGE for a blob of 8 GiB or more, before anything is written
 * @throws {PolarisError} STATE_UNWRITABLE naming the path
 * @throws {PolarisError} IMAGE_DIGEST_MISMATCH if the image's own bytes are wrong; nothing is left then
 */
export async function writeDockerArchive(
  image: Image,
  file: string,
  { names, signal, durable = true, beforePlaced }: DockerArchiveOptions,
): Promise<void> {
  requireArchivable(image);
  await writeAside(
    file,
    (temporary) => writeNewFile(temporary, formatArchive(image, names, signal), { durable, signal }),
    async (temporary) => {
      await beforePlaced?.();
      await rename(temporary, file);
    },
    { durable },
  );
}

function requireArchivable(image: Image): void {
  const tooLarge = listBlobs(image).find(({ size }) => size > MAX_ARCHIVE_NUMBER);
  if (tooLarge === undefined) return;
  throw new PolarisError(
    "IMAGE_TOO_LARGE",
    `${tooLarge.digest} has ${tooLarge.size} bytes; ${MAX_ARCHIVE_NUMBER} is the most that an archive holds`,
    { hint: "write the image as a layout, which has no such limit" },
  );
}

/** Nothing in an archive tells when it was written. */
const MTIME_SECONDS = 0;

async function* formatArchive(
  image: Image,
  names: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const [name] = names;
  const annotations = name === undefined ? {} : { "io.containerd.image.name": name };
  yield formatFolder("blobs/", MTIME_SECONDS);
  yield formatFolder("blobs/sha256/", MTIME_SECONDS);
  for (const blob of listBlobs(image)) {
    yield formatFileHead(blobPath(blob.digest), blob.size, MTIME_SECONDS);
    yield* image.openBlob(blob, signal);
    yield paddingOf(blob.size);
  }
  yield formatFile(blobPath(image.manifest.digest), image.manifest.bytes);
  yield formatText("index.json", formatLayoutIndex(image, annotations));
  yield formatText("manifest.json", formatDockerManifest(image, names));
  yield formatText(LAYOUT_MARKER.path, LAYOUT_MARKER.text);
  yield ARCHIVE_END;
}

/** Layers stay compressed: every reader looks into them to see how. */
function formatDockerManifest({ config, layers }: Image, names: readonly string[]): string {
  const entry = {
    Config: blobPath(config.digest),
    RepoTags: names,
    Layers: layers.map(({ digest }) => blobPath(digest)),
  };
  return JSON.stringify([entry]);
}

function formatText(path: string, text: string): Uint8Array {
  return formatFile(path, Buffer.from(text));
}

function formatFile(path: string, content: Uint8Array): Uint8Array {
  return Buffer.concat([
    formatFileHead(path, content.length, MTIME_SECONDS),
    content,
    paddingOf(content.length),
  ]);
}
