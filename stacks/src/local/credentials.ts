import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { errnoOf, writeFileAtomic } from "../atomic-file.ts";
import { makeFolder } from "../make-folder.ts";
import type { StackPaths } from "./stack-paths.ts";

/** What the simulated machine and the administrator show to the trust services. Secrets: files 0600, hashes elsewhere. */
export interface Credentials {
  readonly machine: string;
  readonly administrator: string;
}

/** The stack's credentials; undefined if there are none yet. */
export async function loadCredentials(paths: StackPaths): Promise<Credentials | undefined> {
  const [machine, administrator] = await Promise.all(
    [paths.machineCredential, paths.administratorCredential].map(readCredential),
  );
  return machine === undefined || administrator === undefined ? undefined : { machine, administrator };
}

/** The stack's credentials, drawn at its first deploy. */
export async function ensureCredentials(paths: StackPaths): Promise<Credentials> {
  const existing = await loadCredentials(paths);
  if (existing !== undefined) return existing;
  const credentials = { machine: drawCredential(), administrator: drawCredential() };
  await makeFolder(dirname(paths.machineCredential), 0o700);
  await writeFileAtomic(paths.machineCredential, credentials.machine);
  await writeFileAtomic(paths.administratorCredential, credentials.administrator);
  return credentials;
}

function drawCredential(): string {
  return randomBytes(32).toString("base64url");
}

/** A file that is damaged counts as none: credentials guard nothing that lasts, new ones do as well. */
async function readCredential(path: string): Promise<string | undefined> {
  try {
    const text = await readFile(path, "utf8");
    return /^[\w-]{43}$/.test(text) ? text : undefined;
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") return undefined;
    throw cause;
  }
}
