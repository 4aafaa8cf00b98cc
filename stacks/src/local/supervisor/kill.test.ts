import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { getCompileCacheDir } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { acquireStackLock } from "../stack-lock.ts";
import { converge } from "./converge.ts";
import { findMarkedProcesses } from "./marked-processes.ts";
import { observe } from "./observe.ts";
import type { PartName, PartSpec } from "./part-spec.ts";
import { waitForEnd } from "./process-identity.ts";
import { makeStackDir, scriptPart } from "./stack-fixture.ts";

const ROUNDS = 21;

const PARTS: readonly PartName[] = ["trust", "workload", "proxy"];

type Wish = "old" | "new" | "absent";

function partsFor(stackDir: string, wish: Wish): PartSpec[] | "absent" {
  return wish === "absent" ? wish : PARTS.map((part) => scriptPart(stackDir, part, { identity: wish }));
}

/** What a command does: lock, converge, release; in a process of its own, that can be killed. */
async function startCommand(
  t: TestContext,
  stackDir: string,
  wish: Wish,
): Promise<{ child: ChildProcess; ended: Promise<unknown> }> {
  const program = `
    import { converge } from ${JSON.stringify(import.meta.resolve("./converge.ts"))};
    import { acquireStackLock } from ${JSON.stringify(import.meta.resolve("../stack-lock.ts"))};
    const [stackDir, desired] = process.argv.slice(1);
    console.log("go");
    const release = await acquireStackLock(stackDir, { command: "polaris deploy" });
    await converge({ stackDir, desired: JSON.parse(desired) });
    await release();
  `;
  const args = ["--input-type=module", "-e", program, stackDir, JSON.stringify(partsFor(stackDir, wish))];
  const child = spawn(process.execPath, args, {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, NODE_COMPILE_CACHE: getCompileCacheDir() },
  });
  t.after(() => child.kill("SIGKILL"));
  const ended = once(child, "exit");
  await once(createInterface({ input: child.stdout }), "line");
  return { child, ended };
}

/** The next command: it always gets to the end. */
async function runNextCommand(stackDir: string, wish: Wish): Promise<void> {
  const release = await acquireStackLock(stackDir, { command: "polaris deploy" });
  await converge({ stackDir, desired: partsFor(stackDir, wish) });
  await release();
}

async function assertReached(stackDir: string, wish: Wish): Promise<void> {
  const marked = findMarkedProcesses(stackDir);
  const observed = await observe(stackDir);
  if (wish === "absent") {
    assert.deepEqual(marked, []);
    assert.deepEqual(
      observed.filter(({ state }) => state !== "absent"),
      [],
    );
    return;
  }
  for (const part of PARTS) {
    const present = observed.find((other) => other.part === part);
    assert.ok(present?.state === "running", `${part} is ${present?.state}`);
    assert.equal(present.launch?.spec.identity, wish);
    // Exactly one of each: the runner, the shell, and what the shell started.
    const pids = marked.filter((other) => other.part === part).map(({ identity }) => identity.pid);
    const programs = pids.map((pid) => readFileSync(`/proc/${pid}/comm`, "utf8").trim()).toSorted();
    assert.deepEqual(
      programs.map((name) => (name === "sh" || name === "sleep" ? name : "runner")).toSorted(),
      ["runner", "sh", "sleep"],
    );
    assert.ok(pids.includes(present.record.runner.pid));
    assert.ok(pids.includes(present.record.child?.pid ?? 0));
  }
}

/** What is there, what the command that is killed wants, and what the next one wants. */
const CASES: readonly [Wish, Wish, Wish][] = [
  ["absent", "old", "old"],
  ["old", "new", "new"],
  ["new", "absent", "old"],
  ["old", "absent", "absent"],
  ["absent", "new", "absent"],
  ["absent", "old", "new"],
  ["new", "old", "absent"],
];

test(
  `after kill -9 of a command at any moment the next one gets to the end, with nothing double and nothing left`,
  { skip: process.platform !== "linux" && "processes are found by their mark only on Linux" },
  async (t) => {
    const stackDir = await makeStackDir(t);
    // How long the commands take undisturbed, so that the moments are spread over all of it.
    const durations = new Map<string, number>();
    let present: Wish = "absent";
    for (const [from, to] of [
      ["absent", "old"],
      ["old", "new"],
      ["new", "absent"],
    ] as const) {
      const { ended } = await startCommand(t, stackDir, to);
      const began = performance.now();
      assert.deepEqual(await ended, [0, null]);
      durations.set(`${from === "absent"} ${to === "absent"}`, performance.now() - began);
      await assertReached(stackDir, to);
    }

    for (let round = 0; round < ROUNDS; round += 1) {
      const [from, interrupted, wish] = CASES[round % CASES.length]!;
      if (present !== from) await runNextCommand(stackDir, from);
      const durationMs = durations.get(`${from === "absent"} ${interrupted === "absent"}`) ?? 500;
      // Each case is met with early, middle and late moments; within them they are random.
      const momentMs =
        ((Math.floor(round / CASES.length) + Math.random()) / Math.ceil(ROUNDS / CASES.length)) * durationMs;
      const moment = `round ${round}: ${from} to ${interrupted} killed after ${momentMs.toFixed(1)} ms, then ${wish}`;
      const { child, ended } = await startCommand(t, stackDir, interrupted);
      await sleep(momentMs);
      child.kill("SIGKILL");
      await ended;
      try {
        await runNextCommand(stackDir, wish);
        await assertReached(stackDir, wish);
      } catch (error) {
        throw new Error(moment, { cause: error });
      }
      present = wish;
    }
  },
);

test(
  "after kill -9 of any runners and commands of parts the next command gets to the end",
  { skip: process.platform !== "linux" && "as above" },
  async (t) => {
    const stackDir = await makeStackDir(t);
    await runNextCommand(stackDir, "old");
    for (let round = 0; round < 6; round += 1) {
      const marked = findMarkedProcesses(stackDir);
      // Every second of them, then every third, …: runners, shells and what shells started.
      const victims = marked
        .filter((_, index) => index % (2 + round) === round % 2)
        .map(({ identity }) => identity);
      for (const victim of victims) process.kill(victim.pid, "SIGKILL");
      for (const victim of victims) assert.equal(await waitForEnd(victim, 10_000), true);
      const wish = round % 3 === 2 ? "absent" : "old";
      await runNextCommand(stackDir, wish);
      await assertReached(stackDir, wish);
      if (wish === "absent") await runNextCommand(stackDir, "old");
    }
  },
);

test("a runner that comes after its command was killed and the stack was destroyed starts nothing", async (t) => {
  const stackDir = await makeStackDir(t);
  const desired = [scriptPart(stackDir, "workload")];
  // Stop the world right after the spawn: the runner is there as a process, and has not done anything yet.
  const controller = new AbortController();
  const starting = converge({
    stackDir,
    desired,
    signal: controller.signal,
    onEvent: () => controller.abort(),
  });
  await assert.rejects(starting, { code: "CANCELLED" });
  await converge({ stackDir, desired: "absent" });
  assert.deepEqual(findMarkedProcesses(stackDir), []);
  assert.equal(
    (await observe(stackDir)).every(({ state }) => state === "absent"),
    true,
  );
  assert.throws(() => readFileSync(join(stackDir, "workload.ready")), { code: "ENOENT" });
});
