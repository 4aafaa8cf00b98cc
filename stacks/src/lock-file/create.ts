import { createHash } from "node:crypto";

import type { StackIdentity, StackLock } from "./schema.ts";

/** A random integer from 0 to `below` - 1; `crypto.randomInt` outside tests. */
export type RandomInteger = (below: number) => number;

const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const DIGITS = "0123456789";

/**
 * Longest names that Google Cloud takes: pool and provider 4–32, service account and project 6–30, the others 63.
 * Pool and provider must not begin with `gcp-`.
 */
const MAX_LENGTH = {
  keyRing: 63,
  key: 63,
  pool: 32,
  provider: 32,
  instance: 63,
  serviceAccount: 30,
} as const;

/**
 * Draws everything about a stack that must never change again: a suffix, the names that contain it, and the numbers of the
 * simulated project and machine. Call it once per stack; afterwards {@link updateStackLock} keeps what was drawn.
 */
export function createStackLock(options: {
  readonly name: string;
  readonly stack: string;
  readonly target: "local";
  readonly random: RandomInteger;
}): StackIdentity {
  const { name, stack, target, random } = options;
  const suffix = draw(LETTERS, 1, random) + draw(LETTERS + DIGITS, 5, random);
  const nameFor = (resource: keyof typeof MAX_LENGTH): string =>
    resourceName(`${name}-${stack}`, suffix, MAX_LENGTH[resource]);
  return {
    target,
    suffix,
    names: {
      keyRing: nameFor("keyRing"),
      key: nameFor("key"),
      pool: nameFor("pool"),
      provider: nameFor("provider"),
      instance: nameFor("instance"),
      serviceAccount: nameFor("serviceAccount"),
    },
    projectId: `polaris-local-${suffix}`,
    projectNumber: drawNumber(12, random),
    instanceId: drawNumber(19, random),
    zone: "local-a",
  };
}

/** The lock of a stack as it is now: drawn names kept, workload, proxy and policy as given. */
export function updateStackLock(
  drawn: StackIdentity,
  now: Pick<StackLock, "workload" | "proxy"> & { readonly condition: string },
): StackLock {
  const { target, suffix, names, projectId, projectNumber, instanceId, zone } = drawn;
  const sha256 = `sha256:${createHash("sha256").update(now.condition, "utf8").digest("hex")}`;
  return {
    target,
    suffix,
    names,
    projectId,
    projectNumber,
    instanceId,
    zone,
    workload: now.workload,
    ...(now.proxy !== undefined && { proxy: now.proxy }),
    policy: { condition: now.condition, sha256 },
  };
}

/** `<prefix>-<suffix>`, the prefix cut to fit: the suffix alone keeps names apart. */
function resourceName(prefix: string, suffix: string, maxLength: number): string {
  const allowed = prefix.startsWith("gcp-") ? `p-${prefix}` : prefix;
  const cut = allowed.slice(0, maxLength - suffix.length - 1).replace(/-+$/, "");
  return `${cut}-${suffix}`;
}

function drawNumber(digits: number, random: RandomInteger): string {
  return draw(DIGITS.slice(1), 1, random) + draw(DIGITS, digits - 1, random);
}

function draw(alphabet: string, length: number, random: RandomInteger): string {
  return Array.from({ length }, () => alphabet.charAt(random(alphabet.length))).join("");
}
