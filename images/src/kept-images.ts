/**
 * Manifests, indexes and configurations of images, kept on this machine: a digest names the same bytes for ever, so a
 * registry need not be asked for them twice. Nothing in the folder is trusted: what is not what its name says counts as not
 * there.
 */
import { constants } from "node:fs";
import { lstat, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { digestOf } from "./manifest.ts";
import { writeAside, writeNewFile, writerOfTemporaryFile } from "./written-aside.ts";

/** Real ones have some kilobytes; a longer one is asked for each time. */
const MAX_DOCUMENT_BYTES = 256 * 1024;

/** Three an image, two images a stack; the ones that were written first go first. */
const MAX_DOCUMENTS = 256;

export interface KeptImages {
  /** @returns undefined if the document is not there as it was */
  find(digest: string): Promise<Uint8Array | undefined>;
  /** Keeps what there is room for. It never fails for the disk's sake: whoever has not kept it asks again. */
  keep(digest: string, bytes: Uint8Array): Promise<void>;
}

/**
 * @param folder  of this user's own; it has to be there for anything to be kept. One that is a link, somebody else's, or
 *   that others may write in, is left alone.
 */
export function openKeptImages(folder: string): KeptImages {
  return {
    async find(digest) {
      return (await isOurs(folder)) ? await readDocument(folder, digest) : undefined;
    },
    async keep(digest, bytes) {
      if (bytes.length > MAX_DOCUMENT_BYTES || !(await isOurs(folder))) return;
      try {
        await writeDocument(folder, digest, bytes);
        await removeOldest(folder);
      } catch {
        // A full or read-only disk is no reason not to go on.
      }
    },
  };
}

/** What others can write in could have us read or remove what they like. */
async function isOurs(folder: string): Promise<boolean> {
  try {
    const found = await lstat(folder);
    if (!found.isDirectory()) return false;
    const user = process.getuid?.();
    // Windows has neither of them.
    return user === undefined || (found.uid === user && (found.mode & 0o022) === 0);
  } catch {
    return false;
  }
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

/**
 * Only what has a name of ours counts and goes: the folder may be one that its user keeps other things in. What a process
 * that was killed has left has such a name, so that it goes with time.
 */
async function removeOldest(folder: string): Promise<void> {
  const names = (await readdir(folder)).filter(isOurName);
  if (names.length <= MAX_DOCUMENTS) return;
  const dated = await Promise.all(
    names.map(async (name) => ({ name, mtimeMs: await readTime(join(folder, name)) })),
  );
  const oldest = dated.toSorted((one, other) => one.mtimeMs - other.mtimeMs);
  for (const { name } of oldest.slice(0, names.length - MAX_DOCUMENTS)) {
    // One that stays, say a folder, must not keep the others.
    await rm(join(folder, name)).catch(() => undefined);
  }
}

function isOurName(name: string): boolean {
  if (writerOfTemporaryFile(name) === undefined) return DOCUMENT_NAME.test(name);
  return DOCUMENT_NAME.test(name.slice(1).split(".")[0] ?? "");
}

const DOCUMENT_NAME = /^[0-9a-f]{64}$/;

/** Of the entry itself, not of what it may link to. What has gone meanwhile is oldest. */
async function readTime(path: string): Promise<number> {
  return lstat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
}
