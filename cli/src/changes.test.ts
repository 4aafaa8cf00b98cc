import assert from "node:assert/strict";
import { test } from "node:test";
import type { Plan } from "@polaris-cvm/stacks/plan.ts";
import { describeChanges } from "./changes.ts";

test("what an image says of itself is shown as one harmless line", () => {
  const plan = { qualifiedName: "shop/default", target: "local" } as Plan;
  const text = describeChanges(
    plan,
    [{ part: "workload", action: "replace", reason: "of \u001b[2J" }],
    [{ field: "workload.config.user", from: "node", to: "root\n\u001b[1Anobody" }],
  );
  assert.deepEqual(text.split("\n").slice(1, 4), [
    "  ~  workload  replace  of \\u001b[2J",
    "polaris.lock",
    "  ~ workload.config.user: node → root\\u000a\\u001b[1Anobody",
  ]);
});
