/**
 * Manifests and configurations of images, kept on this machine: a digest names the same bytes for ever, so a registry need
 * not be asked for them twice. Nothing in the folder is trusted: what is not what its name says counts as not there.
 */
import { constants } from "node:fs";
import { open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { streamBytes } from "./image.ts";
import type { Image, ManifestBytes } from "./image.ts";
import { digestOf, parseManifest } from "./manifest.ts";
import { readSmallBlob } from "./read-bytes.ts";
import { writeAside, writeNewFile } from "./written-aside.ts";

/** Real ones have some kilobytes; a longer one is asked for each time. */
const MAX_DOCUMENT_BYTES = 256 * 1024;

/** Two an image; the ones that were written first go first. */
const MAX_DOCUMENTS = 64;

export interface KeptImages {
  /**
   * @param manifest  what a lock says of it
   * @param openLayer  where the layers are, which are not kept
   * @returns undefined if the manifest or the configuration is not there as it was
   */
  find(manifest: Omit<ManifestBytes, "bytes">, openLayer: Image["openBlob"]): Promise<Image | undefined>;
  /** Keeps what there is room for. It never fails for the disk's sake: whoever has not kept it asks again. */
  keep(image: Image, signal: AbortSignal): Promise<void>;
}

/** @param folder  of this user's own; it has to be there for anything to be kept */
export function openKeptImages(folder: string): KeptImages {
  return {
    async find({ digest, mediaType }, openLayer) {
      const bytes = await readDocument(folder, digest);
      if (bytes === undefined) return undefined;
      const { config, layers } = parseManifest(bytes, mediaType);
      const configBytes = await readDocument(folder, config.digest);
      if (configBytes === undefined) return undefined;
      return {
        manifest: { bytes, mediaType, digest },
        config,
        layers,
        openBlob: (blob, signal) =>
          blob.digest === config.digest ? streamBytes(configBytes) : openLayer(blob, signal),
      };
    },
    async keep({ manifest, config, openBlob }, signal) {
      if (config.size > MAX_DOCUMENT_BYTES || manifest.bytes.length > MAX_DOCUMENT_BYTES) return;
      const configBytes = await readSmallBlob(config, openBlob, {
        what: "the image's configuration",
        maxBytes: MAX_DOCUMENT_BYTES,
        signal,
      });
      try {
        await writeDocument(folder, config.digest, configBytes);
        await writeDocument(folder, manifest.digest, manifest.bytes);
        await removeOldest(folder);
      } catch {
        // A full or read-only disk is no reason not to go on.
      }
    },
  };
}

function pathOf(folder: string, digest: string): string {
  return join(folder, digest.replace("sha256:", ""));
}

/** Undefined if it is not there, cannot be read, or is not what its digest says. */
async function readDocument(folder: string, digest: string): Promise<Uint8Array | undefined> {
  try {
    // Whatever somebody has put there: no link is followed, no pipe waited for.
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    await using file = await open(pathOf(folder, digest), flags);
    const { size } = await file.stat();
    if (size > MAX_DOCUMENT_BYTES) return undefined;
    const bytes = Buffer.alloc(size);
    await file.read(bytes, 0, size, 0);
    return digestOf(bytes) === digest ? bytes : undefined;
  } catch {
    return undefined;
  }
}

/** Not durable: what a power failure takes is asked for again. */
async function writeDocument(folder: string, digest: string, bytes: Uint8Array): Promise<void> {
  const path = pathOf(folder, digest);
  await writeAside(
    path,
    (temporary) => writeNewFile(temporary, bytes, { mode: 0o600, durable: false }),
    (temporary) => rename(temporary, path),
    { durable: false },
  );
}

/** What a process that was killed has left counts too, so that it goes with time. */
async function removeOldest(folder: string): Promise<void> {
  const names = await readdir(folder);
  if (names.length <= MAX_DOCUMENTS) return;
  const dated = await Promise.all(
    names.map(async (name) => ({ name, mtimeMs: (await stat(join(folder, name))).mtimeMs })),
  );
  const oldest = dated.toSorted((one, other) => one.mtimeMs - other.mtimeMs);
  for (const { name } of oldest.slice(0, names.length - MAX_DOCUMENTS)) await rm(join(folder, name));
}
