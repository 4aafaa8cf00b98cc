import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { describeParts } from "../status.ts";
import { askPart, judgeAnswers } from "./answer.ts";
import { createLaunch } from "./launch-files.ts";
import type { Launch, PartRecord } from "./launch-files.ts";
import { planChanges } from "./next-step.ts";
import type { ObservedPart } from "./observe.ts";
import { makeStackDir, scriptPart } from "./stack-fixture.ts";

const READY_TIMEOUT_MS = 20_000;

/** A part as {@link observe} tells it, whose start was `ageMs` ago. */
function runningPart(
  stackDir: string,
  ageMs: number,
): ObservedPart & { readonly launch: Launch; readonly record: PartRecord } {
  const spec = scriptPart(stackDir, "trust", { readyTimeoutMs: READY_TIMEOUT_MS });
  const launch = createLaunch(spec);
  const record: PartRecord = {
    part: "trust",
    launchId: launch.launchId,
    specDigest: launch.specDigest,
    stackDir,
    graceMs: 2_000,
    startedAt: new Date(Date.now() - ageMs).toISOString(),
    logStart: { inode: 1, offset: 0 },
    runner: { pid: 4711, startTime: "then" },
    child: { pid: 4712, startTime: "then" },
  };
  return { part: "trust", state: "running", launch, record };
}

test("a part that does not answer is starting while it is in its time, and broken after it", async (t) => {
  const stackDir = await makeStackDir(t);
  const young = runningPart(stackDir, 1_000);
  const old = runningPart(stackDir, READY_TIMEOUT_MS + 1_000);
  const states = async () => (await describeParts([young, old])).map(({ state }) => state);
  assert.deepEqual(await states(), ["starting", "broken"]);
  await writeFile(join(stackDir, "trust.ready"), "up\n");
  assert.deepEqual(await states(), ["running", "running"]);
});

test("the time of a part ends to the millisecond", async (t) => {
  const stackDir = await makeStackDir(t);
  const part = runningPart(stackDir, 0);
  const startedMs = Date.parse(part.record.startedAt);
  assert.equal(await askPart(part.launch, part.record, startedMs + READY_TIMEOUT_MS - 1), "not-yet");
  assert.equal(await askPart(part.launch, part.record, startedMs + READY_TIMEOUT_MS), "never");
});

test("a preview says that a part which does not answer will be restarted", async (t) => {
  const stackDir = await makeStackDir(t);
  const preview = async (ageMs: number) => {
    const part = runningPart(stackDir, ageMs);
    return planChanges([part.launch.spec], await judgeAnswers([part]));
  };
  const restart = [{ part: "trust", action: "restart", reason: "it does not answer" }];
  const same = [{ part: "trust", action: "same", reason: "as planned" }];
  assert.deepEqual(await preview(READY_TIMEOUT_MS + 1_000), restart);
  assert.deepEqual(await preview(1_000), same);
  await writeFile(join(stackDir, "trust.ready"), "up\n");
  assert.deepEqual(await preview(READY_TIMEOUT_MS + 1_000), same);
});
