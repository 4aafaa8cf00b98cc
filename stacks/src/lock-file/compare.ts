import type { StackLock } from "./schema.ts";

/** One field of a stack's lock that differs. Undefined: it is not there on that side. */
export interface LockChange {
  /** `workload.files.sha256` and the like. */
  readonly field: string;
  readonly from: string | undefined;
  readonly to: string | undefined;
}

/** What differs between the lock on disk (undefined: nothing yet) and what it should say, in the order of the fields. */
export function compareStackLock(before: StackLock | undefined, fresh: StackLock): LockChange[] {
  const old = before === undefined ? new Map<string, string>() : listFields(before);
  const now = listFields(fresh);
  const fields = [...new Set([...old.keys(), ...now.keys()])].toSorted();
  return fields
    .map((field) => ({ field, from: old.get(field), to: now.get(field) }))
    .filter(({ from, to }) => from !== to);
}

/** Leaves by path; a list is one leaf, as its order is its meaning. */
function listFields(value: object, prefix = ""): Map<string, string> {
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
