/** Images as folders, after the OCI image layout specification. */
import { constants } from "node:fs";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import * as z from "zod";
import { listBlobs } from "./image.ts";
import type { Image } from "./image.ts";
import {
  MAX_MANIFEST_BYTES,
  OCI_INDEX,
  isIndexType,
  isManifestType,
  parseIndex,
  parseManifest,
  requireRunnable,
} from "./manifest.ts";
import type { Descriptor } from "./manifest.ts";
import { findPlatform } from "./platform.ts";
import { readSmallBlob } from "./read-bytes.ts";
import { checkBytes } from "./checked-bytes.ts";
import { errnoOf } from "./system-error.ts";
import { syncFolder, temporaryBeside, writeAside, writeNewFile } from "./written-aside.ts";

const MARKER_FILE = "oci-layout";
const INDEX_FILE = "index.json";

/** Of a layout, the outer ones first. */
const FOLDERS = ["", "blobs", "blobs/sha256"];

/** What says that a folder is a layout, and of which version. */
export const LAYOUT_MARKER = { path: MARKER_FILE, text: JSON.stringify({ imageLayoutVersion: "1.0.0" }) };

/** Annotation of an index entry: the name that it goes by in the layout. */
const REF_NAME = "org.opencontainers.image.ref.name";

/** Path of a blob inside of a layout. */
export function blobPath(digest: string): string {
  return `blobs/${digest.replace(":", "/")}`;
}

/** The index of a layout that holds one image. */
export function formatLayoutIndex(
  { manifest }: Image,
  annotations: Readonly<Record<string, string>>,
): string {
  const { mediaType, digest, bytes } = manifest;
  const entry = {
    mediaType,
    digest,
    size: bytes.length,
    platform: { architecture: "amd64", os: "linux" },
    ...(Object.keys(annotations).length > 0 && { annotations }),
  };
  return JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [entry] });
}

export interface LayoutOptions {
  readonly tag?: string;
  readonly signal: AbortSignal;
  readonly beforePlaced?: () => Promise<void>;
}

/**
 * Writes an image as a layout. It is written under another name and, once all of it is on the disk, renamed, so that a
 * folder of this name is whole, also after a power failure.
 * A layout of one image that is there already is replaced: between two renames there is none.
 *
 * @param options.tag  name of the image in the layout
 * @param options.beforePlaced  called when all of it is written and the layout that it replaces is still there
 * @throws {PolarisError} STATE_UNWRITABLE naming the path, also if there is a folder with anything that is not of a layout
 *   of one image, or a file
 * @throws {PolarisError} IMAGE_DIGEST_MISMATCH if the image's own bytes are wrong; nothing is left then
 */
export async function writeLayout(
  image: Image,
  directory: string,
  { tag, signal, beforePlaced }: LayoutOptions,
): Promise<void> {
  await writeAside(
    directory,
    async (temporary) => {
      await refuseOtherFolder(directory, signal);
      for (const path of FOLDERS) await mkdir(join(temporary, path));
      for (const blob of listBlobs(image)) {
        await writeNewFile(join(temporary, blobPath(blob.digest)), image.openBlob(blob, signal), { signal });
      }
      await writeNewFile(join(temporary, blobPath(image.manifest.digest)), image.manifest.bytes, { signal });
      await writeNewFile(join(temporary, MARKER_FILE), LAYOUT_MARKER.text, { signal });
      const index = formatLayoutIndex(image, tag === undefined ? {} : { [REF_NAME]: tag });
      await writeNewFile(join(temporary, INDEX_FILE), index, { signal });
      for (const path of FOLDERS) await syncFolder(join(temporary, path));
    },
    async (temporary) => {
      // To write has taken its time, and somebody may have put something there since.
      await refuseOtherFolder(directory, signal);
      await beforePlaced?.();
      await replaceFolder(temporary, directory);
    },
  );
}

/**
 * Opens the image for linux/amd64 of a layout. Whatever is read of it is checked against its digest and size.
 *
 * @param options.reference  the name that it has in the layout, or its digest; not needed if there is only one
 * @throws {PolarisError} IMAGE_NOT_FOUND if the folder is no layout, or has no such image, or several and none was named
 * @throws {PolarisError} IMAGE_PLATFORM_MISSING, IMAGE_INVALID, IMAGE_TOO_LARGE, IMAGE_DIGEST_MISMATCH; REGISTRY_UNREACHABLE
 *   if the disk, which may be one of a network, does not answer in time
 */
export async function openLayout(
  directory: string,
  { reference, signal = NEVER }: { readonly reference?: string; readonly signal?: AbortSignal } = {},
): Promise<Image> {
  await checkMarker(directory, signal);
  const openBlob: Image["openBlob"] = (blob, blobSignal) => readBlob(directory, blob, blobSignal);
  const readManifest = async (entry: Descriptor): Promise<Uint8Array> =>
    await readSmallBlob(entry, openBlob, {
      what: `the manifest ${entry.digest}`,
      maxBytes: MAX_MANIFEST_BYTES,
      signal,
    });

  const { manifests } = parseIndex(await readBounded(directory, INDEX_FILE, signal));
  const named = chooseNamed(manifests, reference, directory);
  // One step down and no more: an index of indexes is not one image.
  const entry = isIndexType(named.mediaType)
    ? findPlatform(parseIndex(await readManifest(named), named.mediaType))
    : named;
  if (!isManifestType(entry.mediaType)) {
    throw new PolarisError(
      "IMAGE_INVALID",
      `${directory} holds ${JSON.stringify(entry.mediaType)}, expected an image`,
    );
  }
  const bytes = await readManifest(entry);
  const manifest = parseManifest(bytes, entry.mediaType);
  requireRunnable(manifest);
  return {
    manifest: { bytes, mediaType: entry.mediaType, digest: entry.digest },
    config: manifest.config,
    layers: manifest.layers,
    openBlob,
  };
}

/** For whoever has nothing that could end it: the documents are small. */
const NEVER = new AbortController().signal;

function chooseNamed(
  entries: readonly Descriptor[],
  reference: string | undefined,
  directory: string,
): Descriptor {
  const fitting = entries.filter(
    ({ digest, annotations }) =>
      reference === undefined || digest === reference || annotations?.[REF_NAME] === reference,
  );
  const [only, ...more] = fitting;
  if (only !== undefined && more.length === 0) return only;
  const names = entries.map(({ digest, annotations }) => annotations?.[REF_NAME] ?? digest);
  const wanted = reference === undefined ? "exactly one image" : `one image ${reference}`;
  throw new PolarisError("IMAGE_NOT_FOUND", `expected ${wanted} in ${directory}, got ${fitting.length}`, {
    hint:
      names.length === 0
        ? "make the layout anew, for example with skopeo copy"
        : `it holds ${names.join(", ")}`,
  });
}

const marker = z.object({ imageLayoutVersion: z.literal("1.0.0") });

async function checkMarker(directory: string, signal: AbortSignal): Promise<void> {
  const bytes = await readBounded(directory, MARKER_FILE, signal);
  let content: unknown;
  try {
    content = JSON.parse(Buffer.from(bytes).toString());
  } catch {
    // Then it says no version either.
  }
  if (!marker.safeParse(content).success) {
    throw new PolarisError("IMAGE_INVALID", `${directory} is no OCI layout of version 1.0.0`);
  }
}

/** A file of the layout that no digest tells the size of. */
async function readBounded(directory: string, name: string, signal: AbortSignal): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let byteCount = 0;
  for await (const piece of readFileOf(directory, name, signal)) {
    byteCount += piece.length;
    if (byteCount > MAX_MANIFEST_BYTES) {
      throw new PolarisError(
        "IMAGE_TOO_LARGE",
        `${name} in ${directory} has more than ${MAX_MANIFEST_BYTES} bytes, which is the most that is read`,
      );
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

function readBlob(directory: string, blob: Descriptor, signal: AbortSignal): AsyncIterable<Uint8Array> {
  return checkBytes(
    readFileOf(directory, blobPath(blob.digest), signal),
    blob,
    `${blob.digest} in ${directory}`,
  );
}

const PIECE_BYTES = 256 * 1024;

async function* readFileOf(directory: string, path: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  signal.throwIfAborted();
  await using file = await openFile(directory, path);
  for (;;) {
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    const { bytesRead } = await file.read(piece).catch((cause: unknown) => {
      throw unreadable(directory, path, errnoOf(cause), cause);
    });
    signal.throwIfAborted();
    if (bytesRead === 0) return;
    yield piece.subarray(0, bytesRead);
  }
}

/** A pipe would keep us until somebody writes into it: it is opened without waiting, and then refused. */
async function openFile(directory: string, path: string): Promise<FileHandle> {
  let file: FileHandle;
  try {
    file = await open(join(directory, path), constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    const isMissing = errnoOf(cause) === "ENOENT" || errnoOf(cause) === "ENOTDIR";
    if (path !== MARKER_FILE || !isMissing) throw unreadable(directory, path, errnoOf(cause), cause);
    throw new PolarisError("IMAGE_NOT_FOUND", `${directory} is no OCI layout`, {
      hint: 'a layout is a folder with a file "oci-layout", as skopeo copy and polaris image build make it',
      cause,
    });
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw unreadable(directory, path, "not a regular file");
}

function unreadable(
  directory: string,
  path: string,
  reason = "unknown reason",
  cause?: unknown,
): PolarisError {
  return new PolarisError("IMAGE_INVALID", `cannot read ${path} of the layout ${directory} (${reason})`, {
    cause,
  });
}

/** @throws {PolarisError} STATE_UNWRITABLE if something is there that nobody wants to lose */
async function refuseOtherFolder(directory: string, signal: AbortSignal): Promise<void> {
  const names = await readdir(directory).catch((error: unknown): string[] => {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  });
  if (names.length === 0) return;
  const what = await findOtherThings(directory, names, signal);
  if (what === undefined) return;
  throw new PolarisError("STATE_UNWRITABLE", `${directory} is there and ${what}`, {
    hint: "choose a folder that is not there yet",
    details: { path: directory },
  });
}

/** What makes a folder more than a layout of one image as we write it; undefined if nothing does. */
async function findOtherThings(
  directory: string,
  names: readonly string[],
  signal: AbortSignal,
): Promise<string | undefined> {
  if (!names.includes(MARKER_FILE) || !names.includes(INDEX_FILE)) return "is no OCI layout";
  const inside = names.includes("blobs") ? await readdir(join(directory, "blobs"), { recursive: true }) : [];
  const other =
    names.find((name) => ![MARKER_FILE, INDEX_FILE, "blobs"].includes(name)) ??
    inside.find((name) => !/^sha256(?:\/[0-9a-f]{64})?$/.test(name));
  if (other !== undefined) return `holds ${other}, which is not of an OCI layout`;
  try {
    const { manifests } = parseIndex(await readBounded(directory, INDEX_FILE, signal));
    const [entry, ...more] = manifests;
    if (more.length > 0) return `is an OCI layout of ${manifests.length} images`;
    if (entry !== undefined && !isManifestType(entry.mediaType)) return "holds something else than one image";
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof PolarisError) return `has an ${INDEX_FILE} that cannot be read`;
    throw error;
  }
}

/** Folders cannot be exchanged in one step: the old one is moved away, and back if the new one cannot take its place. */
async function replaceFolder(written: string, directory: string): Promise<void> {
  const old = temporaryBeside(directory);
  const wasThere = await rename(directory, old).then(
    () => true,
    (error: unknown) => {
      if (errnoOf(error) === "ENOENT") return false;
      throw error;
    },
  );
  try {
    await rename(written, directory);
  } catch (error) {
    if (wasThere) await rename(old, directory);
    throw error;
  }
  if (!wasThere) return;
  // Not before the new one is sure to be found after a power failure.
  await syncFolder(dirname(directory));
  await rm(old, { recursive: true, force: true });
}
