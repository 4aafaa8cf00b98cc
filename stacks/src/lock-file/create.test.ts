import assert from "node:assert/strict";
import { createHash, randomInt } from "node:crypto";
import { test } from "node:test";

import * as fc from "fast-check";

import { compareStackLock } from "./compare.ts";
import { createStackLock, updateStackLock } from "./create.ts";
import { parseLockFile } from "./file.ts";
import { formatCanonicalJson } from "./canonical-json.ts";
import type { LockedProcess } from "./schema.ts";

const WORKLOAD: LockedProcess = {
  kind: "process",
  run: ["node", "server.js"],
  files: { sha256: `sha256:${"a".repeat(64)}`, count: 2 },
};

/** Always the first letter, or the first digit. */
const drawFirst = (): number => 0;

function draw(name = "hello", stack = "default", random: (below: number) => number = drawFirst) {
  return createStackLock({ name, stack, target: "local", random });
}

test("draws a suffix, names that contain it, and the numbers of project and machine", () => {
  assert.deepEqual(draw(), {
    target: "local",
    suffix: "aaaaaa",
    names: {
      keyRing: "hello-default-aaaaaa",
      key: "hello-default-aaaaaa",
      pool: "hello-default-aaaaaa",
      provider: "hello-default-aaaaaa",
      instance: "hello-default-aaaaaa",
      serviceAccount: "hello-default-aaaaaa",
    },
    projectId: "polaris-local-aaaaaa",
    projectNumber: "100000000000",
    instanceId: "1000000000000000000",
    zone: "local-a",
  });
});

test("asks for every random number within its range, and uses the highest too", () => {
  const highest = draw("hello", "default", (below) => below - 1);
  assert.equal(highest.suffix, "z99999");
  assert.equal(highest.projectNumber, "999999999999");
  assert.equal(highest.instanceId, "9999999999999999999");
});

test("keeps every name within the cloud's limits, and apart by the suffix, for any project and stack", () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,29}$/);
  fc.assert(
    fc.property(name, name, (project, stack) => {
      const { names, suffix, projectId } = draw(project, stack, randomInt);
      const limits = [
        [names.keyRing, 1, 63],
        [names.key, 1, 63],
        [names.pool, 4, 32],
        [names.provider, 4, 32],
        [names.instance, 1, 63],
        [names.serviceAccount, 6, 30],
        [projectId, 6, 30],
      ] as const;
      for (const [resource, shortest, longest] of limits) {
        assert.ok(resource.length >= shortest && resource.length <= longest, resource);
        assert.match(resource, /^[a-z](?:[a-z0-9-]*[a-z0-9])?$/);
        assert.ok(resource.endsWith(`-${suffix}`), resource);
      }
      assert.ok(!names.pool.startsWith("gcp-") && !names.provider.startsWith("gcp-"));
      assert.match(suffix, /^[a-z][a-z0-9]{5}$/);
    }),
  );
});

test("cuts long names before the suffix and leaves no hyphen doubled at the cut", () => {
  const long = draw("a".repeat(30), "b".repeat(30));
  assert.equal(long.names.serviceAccount, `${"a".repeat(23)}-aaaaaa`);
  assert.equal(long.names.pool, `${"a".repeat(25)}-aaaaaa`);
  assert.equal(long.names.instance, `${"a".repeat(30)}-${"b".repeat(25)}-aaaaaa`);
  assert.equal(draw(`${"a".repeat(22)}-x`, "b").names.serviceAccount, `${"a".repeat(22)}-aaaaaa`);
});

test("evades the prefix that Google keeps for itself", () => {
  assert.equal(draw("gcp-demo", "dev").names.pool, "p-gcp-demo-dev-aaaaaa");
});

test("draws other names at each call", () => {
  const suffixes = new Set(Array.from({ length: 200 }, () => draw("a", "b", randomInt).suffix));
  assert.ok(suffixes.size > 190);
});

test("keeps what was drawn and sets workload and policy anew", () => {
  const drawn = draw();
  const first = updateStackLock(drawn, { workload: WORKLOAD, condition: "true" });
  const workload = { ...WORKLOAD, run: ["python3"] };
  const second = updateStackLock(first, { workload, condition: "é == 1" });
  assert.deepEqual(second, {
    ...drawn,
    workload,
    policy: { condition: "é == 1", sha256: `sha256:${createHash("sha256").update("é == 1").digest("hex")}` },
  });
  const file = { version: 1, name: "hello", stacks: { default: second }, deployed: {} };
  assert.deepEqual(parseLockFile(formatCanonicalJson(file), "polaris.lock"), file);
});

test("lists the fields that differ, and all of them if there was no lock", () => {
  const before = updateStackLock(draw(), { workload: WORKLOAD, condition: "a" });
  assert.deepEqual(compareStackLock(before, before), []);
  const files = { sha256: `sha256:${"b".repeat(64)}`, count: 3 };
  const fresh = updateStackLock(before, {
    workload: { ...WORKLOAD, run: ["node", "b.js"], files },
    condition: "a",
  });
  assert.deepEqual(compareStackLock(before, fresh), [
    { field: "workload.files.count", from: "2", to: "3", reason: "the workload's files are others" },
    {
      field: "workload.files.sha256",
      from: WORKLOAD.files.sha256,
      to: files.sha256,
      reason: "the workload's files are others",
    },
    {
      field: "workload.run",
      from: '["node","server.js"]',
      to: '["node","b.js"]',
      reason: "targets.local.run says something else",
    },
  ]);
  const all = compareStackLock(undefined, before);
  assert.deepEqual(
    all.map(({ field }) => field),
    [
      "instanceId",
      "names.instance",
      "names.key",
      "names.keyRing",
      "names.pool",
      "names.provider",
      "names.serviceAccount",
      "policy.condition",
      "policy.sha256",
      "projectId",
      "projectNumber",
      "suffix",
      "target",
      "workload.files.count",
      "workload.files.sha256",
      "workload.kind",
      "workload.run",
      "zone",
    ],
  );
  assert.ok(all.every(({ from, to }) => from === undefined && to !== undefined));
});
