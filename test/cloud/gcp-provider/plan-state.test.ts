import assert from "node:assert/strict";
import { test } from "node:test";
import { planChange } from "./plan-state.ts";
import { many, one } from "./property-rules.ts";
import type { Rules } from "./property-rules.ts";

const RULES: Rules = {
  size: "",
  fingerprint: "output",
  disk: one("", { type: "computed", label: "" }),
  interfaces: many("", { address: "computed", nic: "", configs: many("", { natIp: "computed" }) }),
};

test("an update keeps what the cloud has chosen, also inside of blocks, and drops what the program no longer gives", () => {
  const state = {
    size: "2",
    fingerprint: "abc",
    disk: { type: "balanced", label: "old" },
    interfaces: [{ address: "10.10.0.2", nic: "GVNIC", configs: [{ natIp: "203.0.113.2" }] }],
  };
  const inputs = { size: "4", disk: {}, interfaces: [{ nic: "GVNIC", configs: [] }, { nic: "GVNIC" }] };
  assert.deepEqual(planChange(RULES, state, inputs), {
    size: "4",
    fingerprint: "abc",
    disk: { type: "balanced" },
    interfaces: [{ address: "10.10.0.2", nic: "GVNIC", configs: [] }, { nic: "GVNIC" }],
  });
});

test("an update keeps what the cloud has chosen in a block of a block", () => {
  const state = { interfaces: [{ address: "10.10.0.2", configs: [{ natIp: "203.0.113.2" }] }] };
  assert.deepEqual(planChange(RULES, state, { interfaces: [{ configs: [{}] }] }), {
    interfaces: [{ address: "10.10.0.2", configs: [{ natIp: "203.0.113.2" }] }],
  });
});
