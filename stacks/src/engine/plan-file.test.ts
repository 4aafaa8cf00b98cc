import assert from "node:assert/strict";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { refuseKeyChanges } from "./key-changes.ts";
import { preparePlanFile, readPlannedLosses } from "./plan-file.ts";

const urnOf = (type: string, name: string): string => `urn:pulumi:s::p::polaris:gcp:Key$${type}::${name}`;

test("the losses that a plan allows are read from its steps", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "polaris-plan-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "plan");
  await preparePlanFile(path);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  const resourcePlans = {
    [urnOf("x:index:Key", "made")]: { steps: ["create"] },
    [urnOf("x:index:Key", "same")]: { steps: ["same"] },
    [urnOf("x:index:Key", "gone")]: { steps: ["delete"] },
    [urnOf("x:index:Key", "anew")]: { steps: ["create-replacement", "replace", "delete-replaced"] },
    [urnOf("x:index:Key", "first")]: { steps: ["delete-replaced", "replace", "create-replacement"] },
    [urnOf("x:index:Key", "none")]: {},
  };
  await writeFile(path, JSON.stringify({ manifest: {}, resourcePlans }));
  assert.deepEqual(
    (await readPlannedLosses(path)).map(({ type, name, action }) => [type, name, action]),
    [
      ["x:index:Key", "gone", "delete"],
      ["x:index:Key", "anew", "replace"],
      ["x:index:Key", "first", "replace"],
    ],
  );
});

test("what is no plan is refused by name", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "polaris-plan-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "plan");
  const refused = (error: unknown): boolean =>
    error instanceof PolarisError && error.code === "USAGE_INVALID" && error.message.includes(path);
  await assert.rejects(readPlannedLosses(path), refused);
  for (const content of ["", "[", "[]", "7", '{"resourcePlans":{"urn":{"steps":"delete"}}}']) {
    await writeFile(path, content);
    await assert.rejects(readPlannedLosses(path), refused, content);
  }
});

test("only keys are guarded, only against loss, and only without permission", () => {
  const types = new Set(["x:index:Key"]);
  const change = (type: string, action: "create" | "update" | "delete" | "replace" | "import") => ({
    urn: urnOf(type, "k"),
    type,
    name: "k",
    action,
  });
  for (const action of ["create", "update", "import"] as const) {
    refuseKeyChanges([change("x:index:Key", action)], { types, mayChange: false });
  }
  refuseKeyChanges([change("x:index:Disk", "delete")], { types, mayChange: false });
  refuseKeyChanges([change("x:index:Key", "delete")], { types, mayChange: true });
  for (const action of ["delete", "replace"] as const) {
    assert.throws(
      () =>
        refuseKeyChanges([change("x:index:Disk", action), change("x:index:Key", action)], {
          types,
          mayChange: false,
        }),
      (error: unknown) => {
        assert.ok(error instanceof PolarisError);
        assert.equal(error.code, "KEY_CHANGE_REFUSED");
        assert.equal(error.message, `this would ${action} x:index:Key "k"`);
        assert.deepEqual(error.details, { changes: [{ urn: urnOf("x:index:Key", "k"), action }] });
        return true;
      },
    );
  }
});
