import { createHash, createHmac, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { createFileAtomic, errnoOf } from "../../atomic-file.ts";
import { makeFolder } from "../../make-folder.ts";

/** The parts of a local stack in the order in which they start; they stop in reverse. */
export const PART_NAMES = ["trust", "token-agent", "workload", "proxy"] as const;

export type PartName = (typeof PART_NAMES)[number];

/** One question that tells whether a part is ready. Data, so that `status` can ask it again. */
export type Probe =
  | {
      readonly kind: "http";
      readonly url: string;
      readonly expect: "200" | "2xx-3xx";
      readonly timeoutMs?: number;
    }
  | { readonly kind: "tcp"; readonly port: number; readonly timeoutMs?: number }
  | { readonly kind: "socket"; readonly path: string; readonly timeoutMs?: number }
  /** The file is there and not empty. */
  | { readonly kind: "file"; readonly path: string };

/** What one part of a stack is to run. No secret is in it: it is written to a file. */
export interface PartSpec {
  readonly name: PartName;
  /** Program and arguments; no shell. Anybody on the machine can read them. */
  readonly command: readonly string[];
  readonly cwd: string;
  /** All of the process's environment but ambient and secrets; nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  /** What it gets of the environment of whoever starts it, below `env`. A change of it restarts nothing. */
  readonly ambient?: Readonly<Record<string, string>>;
  /** Which secrets the process gets, and a fingerprint by which a change of them is noticed. */
  readonly secrets?: SecretsFingerprint;
  /** All of them have to succeed before the part is ready. */
  readonly probes: readonly Probe[];
  /** How long it may take until then, in milliseconds. A change of it restarts nothing. */
  readonly readyTimeoutMs: number;
  /** Time from SIGTERM to SIGKILL, in milliseconds; default {@link DEFAULT_GRACE_MS}. A change of it restarts nothing. */
  readonly graceMs?: number;
  /** Whatever else makes it another process when it changes, for instance a hash of the files that it reads. */
  readonly identity?: string;
}

export interface SecretsFingerprint {
  /** Names of the environment variables. */
  readonly names: readonly string[];
  /** HMAC-SHA256 of names and values under the stack's own random key, in hex. */
  readonly digest: string;
}

export const DEFAULT_GRACE_MS = 5_000;

/** SHA-256 in hex of all that makes a process what it is. Another digest: the running part has to be replaced. */
export function specDigest(spec: PartSpec): string {
  const { readyTimeoutMs: _timeout, graceMs: _grace, ambient: _ambient, ...rest } = spec;
  return createHash("sha256").update(canonicalJson(rest)).digest("hex");
}

/** What is different, for people: names, never values. */
export function describeSpecChange(before: PartSpec, after: PartSpec): string {
  const differences: string[] = [];
  if (!isSame(before.command, after.command)) differences.push("command");
  if (before.cwd !== after.cwd) differences.push("folder");
  const names = changedNames(before.env, after.env);
  if (names.length > 0) differences.push(`environment (${names.join(", ")})`);
  if (!isSame(before.secrets, after.secrets)) differences.push("secrets");
  if (before.identity !== after.identity) differences.push("files");
  if (!isSame(before.probes, after.probes)) differences.push("health check");
  return differences.length === 0 ? "specification changed" : `changed: ${differences.join(", ")}`;
}

/**
 * The fingerprint of secret values, with a random key of the stack so that nobody can guess short values from it.
 *
 * @param options.create  draw and keep the key if there is none; without, a throw-away key is used then, whose
 *   fingerprint equals no other (for previews, which write nothing)
 */
export async function fingerprintSecrets(
  stackDir: string,
  secrets: Readonly<Record<string, string>>,
  options: { readonly create: boolean },
): Promise<SecretsFingerprint> {
  const names = Object.keys(secrets).sort();
  if (names.length === 0) return { names, digest: "" };
  const key = await loadFingerprintKey(stackDir, options.create);
  const digest = createHmac("sha256", key).update(canonicalJson(secrets)).digest("hex");
  return { names, digest };
}

const FINGERPRINT_KEY_BYTES = 32;

async function loadFingerprintKey(stackDir: string, create: boolean): Promise<Uint8Array> {
  const folder = join(stackDir, "run");
  const path = join(folder, "fingerprint.key");
  const key = await readFingerprintKey(path);
  if (key !== undefined) return key;
  const fresh = randomBytes(FINGERPRINT_KEY_BYTES);
  if (!create) return fresh;
  await makeFolder(folder, 0o700);
  if (await createFileAtomic(path, fresh)) return fresh;
  return (await readFingerprintKey(path)) ?? fresh;
}

async function readFingerprintKey(path: string): Promise<Uint8Array | undefined> {
  let key: Uint8Array;
  try {
    key = await readFile(path);
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") return undefined;
    throw new PolarisError("STATE_CORRUPT", `cannot read ${path}`, { cause });
  }
  if (key.length !== FINGERPRINT_KEY_BYTES) {
    throw new PolarisError(
      "STATE_CORRUPT",
      `${path} has ${key.length} bytes instead of ${FINGERPRINT_KEY_BYTES}`,
      {
        hint: "remove that file: the workload is started anew once, nothing else is lost",
      },
    );
  }
  return key;
}

function isSame(a: unknown, b: unknown): boolean {
  return canonicalJson(a ?? null) === canonicalJson(b ?? null);
}

function changedNames(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): string[] {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].filter((name) => a[name] !== b[name]).sort();
}

/** JSON with members in one order, so that equal values have equal bytes. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) =>
    typeof member === "object" && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}
