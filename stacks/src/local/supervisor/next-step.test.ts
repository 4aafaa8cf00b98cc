import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { Launch, PartExit, PartRecord } from "./launch-files.ts";
import { nextStep, planChanges } from "./next-step.ts";
import type { JudgedPart, PartChange, Step } from "./next-step.ts";
import { PART_NAMES, specDigest } from "./part-spec.ts";
import type { PartName, PartSpec } from "./part-spec.ts";

const SITUATIONS = [
  "absent",
  "launched",
  "coming",
  "starting",
  "starting-never",
  "running",
  "ready",
  "running-never",
  "running-unwanted",
  "exited",
  "exited-unwanted",
  "runner-lost",
  "runner-lost-unwanted",
  "corrupted",
] as const;
type Situation = (typeof SITUATIONS)[number];

type Version = "old" | "new";

function makeSpec(name: PartName, version: Version = "new"): PartSpec {
  return { name, command: [version], cwd: "/", env: {}, probes: [], readyTimeoutMs: 1000 };
}

/** A part as it would be observed in a situation, started by an older or by the present plan. */
function makePart(part: PartName, situation: Situation, version: Version = "new"): JudgedPart {
  const spec = makeSpec(part, version);
  const ids = { launchId: `${part}.1`, specDigest: specDigest(spec) };
  const launch: Launch = { ...ids, spec };
  const identity = { pid: 2, startTime: "x" };
  const exit: PartExit = { exitCode: 3, signal: null, at: "", requested: false };
  const record: PartRecord = {
    ...ids,
    part,
    stackDir: "/",
    graceMs: 1,
    startedAt: "",
    logStart: { inode: 0, offset: 0 },
    runner: identity,
    child: identity,
  };
  const parts: Record<Situation, JudgedPart> = {
    absent: { part, state: "absent" },
    launched: { part, state: "launched", launch, isComing: false },
    coming: { part, state: "launched", launch, isComing: true },
    starting: { part, state: "starting", launch, record },
    "starting-never": { part, state: "starting", launch, record, answers: "never" },
    running: { part, state: "running", launch, record },
    ready: { part, state: "running", launch, record, answers: "yes" },
    "running-never": { part, state: "running", launch, record, answers: "never" },
    "running-unwanted": { part, state: "running", launch: undefined, record, answers: "yes" },
    exited: { part, state: "exited", launch, record, exit },
    "exited-unwanted": { part, state: "exited", launch: undefined, record, exit },
    "runner-lost": { part, state: "runner-lost", launch, record, childAlive: true },
    "runner-lost-unwanted": { part, state: "runner-lost", launch: undefined, record, childAlive: false },
    corrupted: { part, state: "corrupted", reason: "damaged" },
  };
  return parts[situation];
}

type Outcome = [kind: Step["kind"], action: PartChange["action"] | "none", reason: string];

const stopped: Outcome = ["stop", "delete", "not wanted any more"];
const unchanged: Outcome = ["await-ready", "same", "as planned"];
const TABLE: Record<Situation, { absent: Outcome; same: Outcome; changed: Outcome }> = {
  absent: {
    absent: ["done", "none", ""],
    same: ["start", "create", "not running"],
    changed: ["start", "create", "not running"],
  },
  launched: {
    absent: stopped,
    same: ["start", "create", "its start was interrupted"],
    changed: ["start", "create", "its start was interrupted"],
  },
  // Only a command's own launch is coming, so it is never of an older plan.
  coming: {
    absent: stopped,
    same: ["await-ready", "create", "being started"],
    changed: ["await-ready", "create", "being started"],
  },
  starting: { absent: stopped, same: unchanged, changed: ["stop", "replace", "changed: command"] },
  "starting-never": {
    absent: stopped,
    same: ["stop", "restart", "it does not answer"],
    changed: ["stop", "replace", "changed: command"],
  },
  running: { absent: stopped, same: unchanged, changed: ["stop", "replace", "changed: command"] },
  ready: {
    absent: stopped,
    same: ["done", "same", "as planned"],
    changed: ["stop", "replace", "changed: command"],
  },
  "running-never": {
    absent: stopped,
    same: ["stop", "restart", "it does not answer"],
    changed: ["stop", "replace", "changed: command"],
  },
  "running-unwanted": {
    absent: stopped,
    same: ["stop", "restart", "its end was begun"],
    changed: ["stop", "restart", "its end was begun"],
  },
  exited: {
    absent: stopped,
    same: ["start", "restart", "it exited with code 3"],
    changed: ["start", "replace", "changed: command"],
  },
  "exited-unwanted": {
    absent: stopped,
    same: ["start", "restart", "it exited with code 3"],
    changed: ["start", "replace", "specification changed"],
  },
  "runner-lost": {
    absent: stopped,
    same: ["stop", "restart", "its runner was killed"],
    changed: ["stop", "replace", "changed: command"],
  },
  "runner-lost-unwanted": {
    absent: stopped,
    same: ["stop", "restart", "its runner was killed"],
    changed: ["stop", "replace", "specification changed"],
  },
  corrupted: {
    absent: stopped,
    same: ["stop", "restart", "damaged"],
    changed: ["stop", "restart", "damaged"],
  },
};

for (const situation of SITUATIONS) {
  for (const [desire, [kind, action, reason]] of Object.entries(TABLE[situation])) {
    test(`a part that is ${situation} and wanted ${desire}: ${kind}, told as ${action}`, () => {
      for (const part of PART_NAMES) {
        const desired = desire === "absent" ? "absent" : [makeSpec(part)];
        const observed = [makePart(part, situation, desire === "changed" ? "old" : "new")];
        const step = nextStep(desired, observed);
        const change: PartChange | undefined = planChanges(desired, observed)[0];
        assert.deepEqual(change, action === "none" ? undefined : { part, action, reason });
        if (kind === "done") assert.deepEqual(step, { kind });
        else if (kind === "await-ready") assert.deepEqual(step, { kind, parts: [part] });
        else assert.deepEqual(step, { kind, part, reason });
      }
    });
  }
}

test("tells how a part ended that is started again", () => {
  const reasons = (exit: Partial<PartExit>) => {
    const part = makePart("workload", "exited");
    assert.equal(part.state, "exited");
    return planChanges([makeSpec("workload")], [{ ...part, exit: { ...part.exit, ...exit } }])[0]?.reason;
  };
  assert.equal(reasons({ exitCode: null, signal: "SIGKILL" }), "it was ended by SIGKILL");
  assert.equal(reasons({ exitCode: null, error: "cannot start node: ENOENT" }), "cannot start node: ENOENT");
});

test("starts trust and workload at once, the token agent after trust, the proxy last; stops in reverse", () => {
  const all = PART_NAMES.map((part) => makeSpec(part));
  const steps: string[] = [];
  const situations: Record<PartName, Situation> = {
    trust: "absent",
    "token-agent": "absent",
    workload: "absent",
    proxy: "absent",
  };
  const next = (desired: PartSpec[] | "absent") => {
    const step = nextStep(
      desired,
      PART_NAMES.map((part) => makePart(part, situations[part])),
    );
    if (step.kind === "start") situations[step.part] = "running";
    if (step.kind === "stop") situations[step.part] = "absent";
    if (step.kind === "await-ready") situations[step.parts[0]!] = "ready";
    steps.push(
      step.kind === "await-ready"
        ? `await ${step.parts.join("+")}`
        : `${step.kind} ${"part" in step ? step.part : ""}`.trim(),
    );
    return step.kind !== "done";
  };
  while (next(all));
  assert.deepEqual(steps.splice(0), [
    "start trust",
    "start workload",
    "await trust+workload",
    "start token-agent",
    "await token-agent+workload",
    "await workload",
    "start proxy",
    "await proxy",
    "done",
  ]);
  while (next("absent"));
  assert.deepEqual(steps, ["stop proxy", "stop workload", "stop token-agent", "stop trust", "done"]);
});

/** A small world in which steps are done: what a part is, how many processes it has, and how long it takes. */
interface World {
  readonly parts: Map<PartName, { situation: Situation; version: Version; patience: number }>;
}

const ALIVE: readonly Situation[] = [
  "coming",
  "starting",
  "starting-never",
  "running",
  "ready",
  "running-never",
  "running-unwanted",
  "runner-lost",
];

test("from any state, doing the steps arrives, never has two of a part, and never stops one that is right", () => {
  const partState = fc.record({
    situation: fc.constantFrom(...SITUATIONS),
    version: fc.constantFrom<Version>("old", "new"),
    patience: fc.integer({ min: 0, max: 3 }),
  });
  const anyWorld = fc.tuple(partState, partState, partState, partState);
  const anyDesire = fc.oneof(fc.constant("absent" as const), fc.subarray([...PART_NAMES]));
  fc.assert(
    fc.property(anyWorld, anyDesire, (states, names) => {
      const world: World = { parts: new Map(PART_NAMES.map((part, index) => [part, { ...states[index]! }])) };
      const desired = names === "absent" ? names : names.map((name) => makeSpec(name));
      const isDesired = (part: PartName) => names !== "absent" && names.includes(part);
      const observe = () =>
        [...world.parts].map(([part, { situation, version }]) => makePart(part, situation, version));
      const foretold = new Map(planChanges(desired, observe()).map(({ part, action }) => [part, action]));
      const done = new Map<PartName, Set<string>>(PART_NAMES.map((part) => [part, new Set()]));
      for (let count = 0; ; count += 1) {
        assert.ok(count < 40, "does not arrive");
        const step = nextStep(desired, observe());
        if (step.kind === "done") break;
        act(world, step, isDesired);
        if (step.kind !== "await-ready") done.get(step.part)!.add(step.kind);
      }
      for (const [part, { situation, version }] of world.parts) {
        if (isDesired(part)) assert.deepEqual([situation, version], ["ready", "new"]);
        else assert.equal(situation, "absent");
        // What was foretold is what was done.
        const kinds = done.get(part)!;
        const action = foretold.get(part);
        assert.equal(kinds.has("stop") && !kinds.has("start"), action === "delete");
        if (action === undefined || action === "same") assert.equal(kinds.size, 0);
        if (action === "replace" || action === "restart") assert.ok(kinds.has("start"));
      }
    }),
    { numRuns: 3000 },
  );
});

function act(
  world: World,
  step: Exclude<Step, { kind: "done" }>,
  isDesired: (part: PartName) => boolean,
): void {
  if (step.kind === "await-ready") {
    for (const name of step.parts) {
      const part = world.parts.get(name)!;
      // Every part gets on by itself: its runner comes, its command starts, it answers.
      if (part.patience > 0) part.patience -= 1;
      else if (part.situation === "coming") part.situation = "starting";
      else if (part.situation === "starting") part.situation = "running";
      else if (part.situation === "running") part.situation = "ready";
      else assert.fail(`waits for a part that is ${part.situation}`);
      // A launch of its own is what the plan says.
      if (part.situation === "starting" && part.version === "old") part.version = "new";
    }
    return;
  }
  const part = world.parts.get(step.part)!;
  if (step.kind === "start") {
    assert.ok(!ALIVE.includes(part.situation), `starts a part that is ${part.situation}`);
    assert.ok(isDesired(step.part));
    world.parts.set(step.part, { situation: "coming", version: "new", patience: part.patience });
    return;
  }
  const isRight =
    ["coming", "starting", "running", "ready"].includes(part.situation) && part.version === "new";
  assert.ok(!(isRight && isDesired(step.part)), `stops a part that is ${part.situation} and wanted so`);
  world.parts.set(step.part, { situation: "absent", version: "new", patience: part.patience });
}
