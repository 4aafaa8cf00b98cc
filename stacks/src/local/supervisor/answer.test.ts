import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { describeParts } from "../status.ts";
import { askPart, judgeAnswers } from "./answer.ts";
import { createLaunch } from "./launch-files.ts";
import type { PartRecord } from "./launch-files.ts";
import { planChanges } from "./next-step.ts";
import type { ObservedPart } from "./observe.ts";
import { makeStackDir, scriptPart } from "./stack-fixture.ts";

const READY_TIMEOUT_MS = 20_000;

/** A part as {@link observe} tells it, whose start was `ageMs` ago. */
function runningPart(stackDir: string, ageMs: number) {
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
  return { part: "trust", state: "running", launch, record } as const satisfies ObservedPart;
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

test("a proxy that says what it lacks is not ready, whatever its age; another part's answer is not shown", async (t) => {
  const server = createServer((_request, response) => {
    response.writeHead(503).end('{"status":"not-ready","reasons":["WORKLOAD_UNREACHABLE"]}');
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const stackDir = await makeStackDir(t);
  const describe = async (name: "proxy" | "workload", ageMs: number) => {
    const part = runningPart(stackDir, ageMs);
    const spec = { ...part.launch.spec, name, probes: [{ kind: "http", url, expect: "200" } as const] };
    const [status] = await describeParts([{ ...part, part: name, launch: { ...part.launch, spec } }]);
    return [status?.state, status?.detail.replace(/^pid \d+, since \S+, /, "")];
  };
  for (const ageMs of [1_000, READY_TIMEOUT_MS + 1_000]) {
    assert.deepEqual(await describe("proxy", ageMs), ["not-ready", "not ready: WORKLOAD_UNREACHABLE"]);
  }
  assert.deepEqual(await describe("workload", 1_000), ["starting", "does not answer yet"]);
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
