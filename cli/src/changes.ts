import type { Plan } from "@polaris-cvm/stacks/plan.ts";
import type { Change } from "@polaris-cvm/stacks/target.ts";
import { escapeControls, formatColumns } from "./print.ts";

const SIGNS: Readonly<Record<Change["action"], string>> = {
  create: "+",
  replace: "~",
  restart: "~",
  delete: "-",
  same: " ",
};

interface LockDifference {
  readonly field: string;
  readonly from: string | undefined;
  readonly to: string | undefined;
}

/** What a deploy would change, for people: one line a part, then what polaris.lock would say anew. */
export function describeChanges(
  plan: Plan,
  changes: readonly Change[],
  lockChanges: readonly LockDifference[],
): string {
  const changed = changes.filter((change) => change.action !== "same");
  const heading = `${plan.qualifiedName} on ${plan.target}${plan.target === "local" ? " (simulated: no TEE)" : ""}`;
  if (changed.length === 0 && lockChanges.length === 0) return `${heading}: no changes`;
  const rows = changes.map((change) => [
    `  ${SIGNS[change.action]}`,
    change.part,
    change.action,
    escapeControls(change.reason),
  ]);
  return [
    heading,
    formatColumns(rows),
    ...describeLockChanges(lockChanges),
    `${changed.length} to change, ${changes.length - changed.length} the same`,
  ].join("\n");
}

/** A stack that is new in the lock is one line; what changes in it is told value by value. */
function describeLockChanges(changes: readonly LockDifference[]): string[] {
  if (changes.length === 0) return [];
  if (changes.every((change) => change.from === undefined)) {
    return ["  +  polaris.lock gets this stack's names, workload identity and key policy"];
  }
  return [
    "polaris.lock",
    // An image says of itself what it likes.
    ...changes.map(({ field, from = "(new)", to = "(removed)" }) =>
      escapeControls(`  ~ ${field}: ${from} → ${to}`),
    ),
  ];
}
