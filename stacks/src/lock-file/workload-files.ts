import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { lstat, open, readdir, readlink, realpath } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, resolve, sep } from "node:path";

import { PolarisError } from "@polaris-cvm/sdk/errors";

import { errnoOf } from "../atomic-file.ts";
import { compileFilePattern } from "./file-pattern.ts";

/** Never part of a workload, at any depth: version control, our own state, and what a package manager can bring back. */
const IGNORED_FOLDERS: ReadonlySet<string> = new Set([".git", ".polaris", "node_modules"]);

/** Never part of a workload, in the project folder: what they say is locked or compared by itself. */
const IGNORED_FILES: ReadonlySet<string> = new Set(["polaris.yaml", "polaris.lock"]);

/** A workload of more files is a home folder by mistake; hashing it would take minutes. */
const MAX_FILES = 50_000;

/** Begins every hash, so that a hash of files is never also the hash of something else. */
const HASH_CONTEXT = "polaris-workload-files-v1\0";

export interface WorkloadFiles {
  /** `sha256:` and 64 lower-case hexadecimal digits. */
  readonly sha256: string;
  readonly count: number;
}

/**
 * Identity of a workload that runs from files: SHA-256 over `polaris-workload-files-v1\0` and, for each file in the order of
 * the UTF-8 bytes of its path, one record:
 *
 *     kind (1 byte: "f" file, "x" executable file, "l" symbolic link)
 *     u32 big-endian length of the path | path relative to the project, UTF-8, "/" between folders
 *     SHA-256 of the content, or of the link's target text (32 bytes)
 *
 * Only a file's owner's execute bit counts; other modes, times, owners and empty folders do not.
 *
 * @param options.files  patterns (see {@link compileFilePattern}); absent: the whole project folder
 * @throws {PolarisError} WORKLOAD_FILES_INVALID for a file that cannot be read, a link that leaves the project, a socket or
 *   device, a pattern that matches nothing, or too many files
 */
export async function hashWorkloadFiles(options: {
  readonly projectDir: string;
  readonly files?: readonly string[];
}): Promise<WorkloadFiles> {
  const projectDir = await realpath(options.projectDir).catch((cause: unknown) => {
    throw unreadable(options.projectDir, cause);
  });
  const paths = selectFiles(await listFiles(projectDir), options.files);
  if (paths.length === 0)
    throw invalid("the workload has no files", "put the program into the project folder");

  const hash = createHash("sha256").update(HASH_CONTEXT);
  for (const path of paths.toSorted(compareBytes)) {
    const { kind, digest } = await hashEntry(projectDir, path);
    const name = Buffer.from(path, "utf8");
    const length = Buffer.alloc(4);
    length.writeUInt32BE(name.length);
    hash.update(kind).update(length).update(name).update(digest);
  }
  return { sha256: `sha256:${hash.digest("hex")}`, count: paths.length };
}

async function listFiles(projectDir: string): Promise<string[]> {
  const found: string[] = [];
  const folders = [""];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const entries = await readdir(join(projectDir, folder), { withFileTypes: true }).catch(
      (cause: unknown) => {
        throw unreadable(folder, cause);
      },
    );
    for (const entry of entries) {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (IGNORED_FOLDERS.has(entry.name) || IGNORED_FILES.has(path)) continue;
      if (entry.isDirectory()) folders.push(path);
      else found.push(path);
    }
    if (found.length > MAX_FILES) {
      throw invalid(
        `the project folder has more than ${MAX_FILES} files`,
        "is it the right folder? targets.local.files can name the workload's own files",
      );
    }
  }
  return found;
}

function selectFiles(paths: readonly string[], patterns: readonly string[] | undefined): readonly string[] {
  if (patterns === undefined) return paths;
  const selected = new Set<string>();
  for (const pattern of patterns) {
    const matches = paths.filter(compileFilePattern(pattern));
    if (matches.length === 0) {
      throw invalid(
        `targets.local.files: "${pattern}" matches no file`,
        "patterns are relative to the project folder",
      );
    }
    for (const path of matches) selected.add(path);
  }
  return [...selected];
}

interface HashedEntry {
  readonly kind: "f" | "x" | "l";
  readonly digest: Buffer;
}

async function hashEntry(projectDir: string, path: string): Promise<HashedEntry> {
  if (path.includes("\uFFFD")) {
    throw invalid(
      `the name of ${path} is not UTF-8`,
      "rename it, or name the workload's files under targets.local.files",
    );
  }
  const absolute = join(projectDir, path);
  try {
    const facts = await lstat(absolute);
    if (facts.isSymbolicLink()) return { kind: "l", digest: await hashLink(projectDir, path) };
    if (facts.isFile()) return await hashFile(absolute);
  } catch (cause) {
    if (cause instanceof PolarisError) throw cause;
    throw unreadable(path, cause);
  }
  throw invalid(
    `${path} is neither a file, a folder nor a link`,
    "remove it, or name the workload's files under targets.local.files",
  );
}

async function hashFile(absolute: string): Promise<HashedEntry> {
  // Whatever was swapped in since the look at it: no link is followed, no pipe waited for.
  const file = await open(absolute, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const facts = await file.stat();
    const hash = createHash("sha256");
    for await (const chunk of file.createReadStream({ autoClose: false })) hash.update(chunk as Buffer);
    return { kind: (facts.mode & constants.S_IXUSR) === 0 ? "f" : "x", digest: hash.digest() };
  } finally {
    await file.close();
  }
}

async function hashLink(projectDir: string, path: string): Promise<Buffer> {
  const target = await readlink(join(projectDir, path));
  const stated = resolve(projectDir, dirname(path), target);
  // A link to a link: what it says can be inside while where it ends is not. Dangling links end nowhere.
  const actual = await realpath(join(projectDir, path)).catch((cause: unknown) => {
    if (errnoOf(cause) === "ENOENT") return stated;
    throw cause;
  });
  if (isAbsolute(target) || !isInside(projectDir, stated) || !isInside(projectDir, actual)) {
    throw invalid(
      `the link ${path} leaves the project folder`,
      "copy the file into the project: what lies outside cannot be part of its identity",
    );
  }
  return createHash("sha256").update(target, "utf8").digest();
}

function isInside(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a, "utf8"), Buffer.from(b, "utf8"));
}

function unreadable(path: string, cause: unknown): PolarisError {
  return new PolarisError(
    "WORKLOAD_FILES_INVALID",
    `cannot read ${path === "" ? "the project folder" : path}, a file of the workload: ${errnoOf(cause) ?? "unknown reason"}`,
    { hint: "make it readable, or leave it out of targets.local.files", cause },
  );
}

function invalid(message: string, hint: string): PolarisError {
  return new PolarisError("WORKLOAD_FILES_INVALID", message, { hint });
}
