import assert from "node:assert/strict";
import { test } from "node:test";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { listPendingOperations } from "./pending-operations.ts";

test("steps without an end are listed from an exported state", () => {
  const urn = "urn:pulumi:s::p::gcp:compute/instance:Instance::vm";
  assert.deepEqual(
    listPendingOperations({
      resources: [{}],
      pending_operations: [{ type: "creating", resource: { urn, type: "x" } }],
    }),
    [{ urn, type: "gcp:compute/instance:Instance", name: "vm", doing: "creating" }],
  );
  for (const state of [{}, { resources: null }, { pending_operations: [] }, { pending_operations: null }]) {
    assert.deepEqual(listPendingOperations(state), []);
  }
});

test("a state that is none is refused", () => {
  for (const state of [
    undefined,
    null,
    7,
    [],
    { pending_operations: 7 },
    { pending_operations: [{ type: 1 }] },
  ]) {
    assert.throws(
      () => listPendingOperations(state),
      (error: unknown) => error instanceof PolarisError && error.code === "STATE_CORRUPT",
    );
  }
});
