import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { PlannedChange } from "./planned-changes.ts";

/** What is a key, and whether it may go. */
export interface KeyGuard {
  /** Types of resources that are keys, or whose loss is the loss of a key. */
  readonly types: ReadonlySet<string>;
  /** The user has said so, with the flag for it. */
  readonly mayChange: boolean;
}

/**
 * Refuses what would delete or replace a key: data that was sealed to it could never be opened again.
 *
 * @throws {PolarisError} KEY_CHANGE_REFUSED naming every key in `details`
 */
export function refuseKeyChanges(
  changes: readonly Pick<PlannedChange, "urn" | "type" | "name" | "action">[],
  guard: KeyGuard,
): void {
  if (guard.mayChange) return;
  const losses = changes.filter(
    ({ type, action }) => guard.types.has(type) && (action === "delete" || action === "replace"),
  );
  if (losses.length === 0) return;
  const list = losses.map(({ action, type, name }) => `${action} ${type} "${name}"`).join(", ");
  throw new PolarisError("KEY_CHANGE_REFUSED", `this would ${list}`, {
    hint: "what is sealed to the key could never be opened again; nothing was changed",
    details: { changes: losses.map(({ urn, action }) => ({ urn, action })) },
  });
}
