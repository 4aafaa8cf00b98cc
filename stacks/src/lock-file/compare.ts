import type { ImagePin, LockedProxy, LockedWorkload, StackLock } from "./schema.ts";

/** One field of the lock that differs. Undefined: it is not there on that side. */
export interface LockChange {
  /** `workload.files.sha256` and the like. */
  readonly field: string;
  readonly from: string | undefined;
  readonly to: string | undefined;
  /** Why, for people; absent where nothing was there before. */
  readonly reason?: string;
}

/** What differs between the lock on disk (undefined: nothing yet) and what it should say, in the order of the fields. */
export function compareStackLock(before: StackLock | undefined, fresh: StackLock): LockChange[] {
  return compareFields(before, fresh).map((change) =>
    before === undefined ? change : { ...change, reason: explain(change.field, before, fresh) },
  );
}

/** The same for the pins of other people's images. */
export function comparePins(
  before: Readonly<Record<string, ImagePin>>,
  fresh: Readonly<Record<string, ImagePin>>,
): LockChange[] {
  return Object.entries(fresh).flatMap(([name, pin]) => {
    const old = before[name];
    return old === undefined
      ? compareFields(old, pin, `pins.${name}.`)
      : compareImage(old, pin, `pins.${name}.`);
  });
}

/**
 * The same for one image.
 *
 * @param prefix  of its fields: `workload.` and the like
 */
export function compareImage(before: ImagePin, fresh: ImagePin, prefix: string): LockChange[] {
  const reason = explainImage(before, fresh);
  return compareFields(before, fresh, prefix).map((change) => ({ ...change, reason }));
}

/** What makes the proxy's image what it is, and is known without its base. */
export type ProxySources = Pick<LockedProxy, "version" | "layer" | "base">;

/** The same for the proxy's image: for as much of it as is known, or only for what it is made of, without its base. */
export function compareProxy(
  before: LockedProxy | undefined,
  fresh: LockedProxy | ProxySources,
): LockChange[] {
  const reason = explainProxy(before, fresh);
  if (before === undefined) {
    return [{ field: "proxy.version", from: undefined, to: fresh.version, reason }];
  }
  const known = Object.entries(before).filter(([name]) => name in fresh);
  return compareFields(Object.fromEntries(known), fresh, "proxy.").map((change) => ({ ...change, reason }));
}

function compareFields(before: object | undefined, fresh: object, prefix = ""): LockChange[] {
  const old = before === undefined ? new Map<string, string>() : listFields(before, prefix);
  const now = listFields(fresh, prefix);
  const fields = [...new Set([...old.keys(), ...now.keys()])].toSorted();
  return fields
    .map((field) => ({ field, from: old.get(field), to: now.get(field) }))
    .filter(({ from, to }) => from !== to);
}

function explain(field: string, before: StackLock, fresh: StackLock): string {
  if (field.startsWith("proxy.")) return explainProxy(before.proxy, fresh.proxy);
  if (field.startsWith("workload.")) return explainWorkload(field, before.workload, fresh.workload);
  return field.startsWith("policy.")
    ? "the condition that this version of polaris makes of the names is another"
    : CHANGED_BY_HAND;
}

const CHANGED_BY_HAND = "the lock was changed by hand";

function explainWorkload(field: string, before: LockedWorkload, fresh: LockedWorkload): string {
  if (fresh.kind === "process") {
    if (before.kind !== "process") return "the workload is a program now";
    return field === "workload.run"
      ? "targets.local.run says something else"
      : "the workload's files are others";
  }
  return before.kind === "image" ? explainImage(before, fresh) : "the workload is an image now";
}

function explainProxy(before: LockedProxy | undefined, fresh: ProxySources | undefined): string {
  if (fresh === undefined) return "the workload is a program now, and so is the proxy";
  if (before === undefined) return "the proxy's image is not locked yet";
  const reasons = [
    ...(before.version === fresh.version
      ? []
      : [`this is polaris ${fresh.version}, the proxy's image in the lock is of ${before.version}`]),
    ...(before.version !== fresh.version || before.layer === fresh.layer
      ? []
      : ["this installation has another proxy of the same version"]),
    ...(before.base === fresh.base ? [] : ["the base is another one"]),
  ];
  return reasons.length === 0 ? CHANGED_BY_HAND : reasons.join("; ");
}

function explainImage(before: ImagePin, fresh: ImagePin): string {
  if (before.reference !== fresh.reference) {
    return `${fresh.reference} has taken the place of ${before.reference}`;
  }
  // What the bytes of a digest say cannot change.
  return before.digest === fresh.digest ? CHANGED_BY_HAND : `${fresh.reference} names another image now`;
}

/** Leaves by path; a list is one leaf, as its order is its meaning. */
function listFields(value: object, prefix: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const [key, item] of Object.entries(value)) {
    const field = `${prefix}${key}`;
    if (typeof item === "object" && item !== null && !Array.isArray(item)) {
      for (const [name, leaf] of listFields(item as object, `${field}.`)) fields.set(name, leaf);
    } else {
      fields.set(field, typeof item === "string" ? item : JSON.stringify(item));
    }
  }
  return fields;
}
