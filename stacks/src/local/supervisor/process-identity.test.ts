import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { TestContext } from "node:test";
import {
  isAlive,
  ownIdentity,
  readIdentity,
  signalProcess,
  startTimeFromPs,
  terminate,
  waitForEnd,
} from "./process-identity.ts";
import type { ProcessIdentity } from "./process-identity.ts";

async function startShell(
  t: TestContext,
  script: string,
): Promise<{ child: ChildProcess; identity: ProcessIdentity; said: string; exit: Promise<unknown[]> }> {
  const child = spawn("/bin/sh", ["-c", script], {
    detached: true,
    stdio: ["ignore", "pipe", "ignore"],
  });
  t.after(() => {
    try {
      process.kill(-child.pid!, "SIGKILL");
    } catch {
      // It has ended already.
    }
  });
  const exit = once(child, "exit");
  const [said] = await once(child.stdout, "data");
  return { child, identity: readIdentity(child.pid!)!, said: String(said), exit };
}

test("this process is alive; its pid with another start time is a stranger", () => {
  const me = ownIdentity();
  assert.deepEqual(readIdentity(process.pid), me);
  assert.equal(isAlive(me), true);
  assert.equal(isAlive({ ...me, startTime: `${me.startTime}0` }), false);
});

test("numbers that mean more than one process to kill(2) are nobody", () => {
  for (const pid of [0, -1, -process.pid, 1.5, Number.NaN, 2 ** 30])
    assert.equal(readIdentity(pid), undefined);
});

test("a zombie is dead", { skip: process.platform !== "linux" && "made visible by /proc" }, async (t) => {
  // The shell does not wait for its child, which therefore stays a zombie after its end.
  const { child } = await startShell(t, "true & echo $!; exec sleep 1000");
  child.stdout!.resume();
  const parent = child.pid!;
  const zombie = Number(readFileSync(`/proc/${parent}/task/${parent}/children`, "utf8").trim());
  for (;;) {
    const state = readFileSync(`/proc/${zombie}/stat`, "latin1").split(") ")[1]?.[0];
    if (state === "Z") break;
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(readIdentity(zombie), undefined);
});

test("a stranger with the same pid is never signalled", async (t) => {
  const { child, identity } = await startShell(t, "echo up; exec sleep 1000");
  const stranger = { ...identity, startTime: "another" };
  assert.equal(signalProcess(stranger, "SIGKILL"), false);
  assert.equal(await terminate(stranger, { graceMs: 0 }), true);
  assert.equal(child.exitCode ?? child.signalCode, null);
  assert.equal(isAlive(identity), true);
});

test("ends a process by SIGTERM, and one that ignores it by SIGKILL after its grace", async (t) => {
  const polite = await startShell(t, "trap 'exit 7' TERM; echo up; sleep 1000 & wait");
  assert.equal(await terminate(polite.identity, { graceMs: 10_000 }), true);
  assert.deepEqual(await polite.exit, [7, null]);

  const stubborn = await startShell(t, "trap '' TERM; echo up; while :; do sleep 1000; done");
  const began = performance.now();
  assert.equal(await terminate(stubborn.identity, { graceMs: 100, group: true }), true);
  assert.ok(performance.now() - began >= 100);
  assert.deepEqual(await stubborn.exit, [null, "SIGKILL"]);
});

test("ends a whole group when told to", async (t) => {
  const { identity, said, exit } = await startShell(t, "sleep 1000 & echo $!; wait");
  const descendant = readIdentity(Number(said))!;
  assert.equal(await terminate(identity, { graceMs: 1_000, group: true }), true);
  assert.deepEqual(await exit, [null, "SIGTERM"]);
  assert.equal(await waitForEnd(descendant, 10_000), true);
});

test("stops waiting, not the process, at the signal", async (t) => {
  const { identity } = await startShell(t, "trap '' TERM; echo up; while :; do sleep 1000; done");
  const controller = new AbortController();
  const ending = terminate(identity, { graceMs: 60_000, signal: controller.signal });
  controller.abort();
  await assert.rejects(ending, { name: "AbortError" });
  assert.equal(isAlive(identity), true);
});

const noPs = spawnSync("ps").error !== undefined && "ps is not installed here";

test("ps(1) tells start times as well, where there is no /proc", { skip: noPs }, async (t) => {
  const { identity } = await startShell(t, "echo up; exec sleep 1000");
  const startTime = startTimeFromPs(identity.pid);
  assert.match(startTime ?? "", /^\w{3} \w{3} \d+ \d\d:\d\d:\d\d \d{4}$/);
  assert.equal(startTimeFromPs(identity.pid), startTime);
  assert.equal(startTimeFromPs(2 ** 30), undefined);
});
