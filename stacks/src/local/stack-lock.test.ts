import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, readdir, realpath, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { acquireStackLock, breakStackLock, readStackLock } from "./stack-lock.ts";

const NOW = "2026-01-02T03:04:05.678Z";

/** A process that surely does not exist: pids are smaller. */
const DEAD = { pid: 2 ** 30, startTime: "never" };

async function makeStackDir(t: TestContext): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "polaris-lock-")));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return join(folder, "dev");
}

/** Another process that takes the lock, says `held` or the error's code, and holds it until it is killed. */
function startContender(t: TestContext, stackDir: string): { child: ChildProcess; said: Promise<string> } {
  const program = `
    import { acquireStackLock } from ${JSON.stringify(import.meta.resolve("./stack-lock.ts"))};
    process.stdin.once("data", async () => {
      try {
        await acquireStackLock(process.argv[1], { command: "polaris deploy" });
        console.log("held");
      } catch (error) {
        console.log(error.code);
        process.exit();
      }
    });
    console.log("waiting");
  `;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program, stackDir], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const said = (async () => {
    assert.equal((await lines.next()).value, "waiting");
    child.stdin.write("go\n");
    return String((await lines.next()).value);
  })();
  return { child, said };
}

async function killAndWait(child: ChildProcess): Promise<void> {
  const exit = once(child, "exit");
  child.kill("SIGKILL");
  await exit;
}

test("one command holds the stack; the next is told who, what and since when, and gets it after the release", async (t) => {
  const stackDir = await makeStackDir(t);
  const release = await acquireStackLock(stackDir, { command: "polaris deploy" });
  const holder = await readStackLock(stackDir);
  assert.equal(holder?.pid, process.pid);
  assert.equal(holder.host, hostname());
  await assert.rejects(acquireStackLock(stackDir, { command: "polaris destroy" }), {
    code: "STACK_LOCKED",
    exitCode: 12,
    message: `stack dev is locked by ${holder.user} (polaris deploy, process ${process.pid} on ${hostname()}) since ${holder.since}`,
    details: {
      pid: process.pid,
      host: hostname(),
      user: holder.user,
      command: "polaris deploy",
      since: holder.since,
    },
  });
  await release();
  assert.equal(await readStackLock(stackDir), undefined);
  await (
    await acquireStackLock(stackDir, { command: "polaris destroy" })
  )();
  assert.deepEqual(await readdir(stackDir), []);
});

test("waits for the holder as long as it is told to, and no longer", async (t) => {
  const stackDir = await makeStackDir(t);
  const release = await acquireStackLock(stackDir, { command: "first" });
  await assert.rejects(acquireStackLock(stackDir, { command: "second", waitMs: 150 }), {
    code: "STACK_LOCKED",
  });
  const waiting = acquireStackLock(stackDir, { command: "second", waitMs: 10_000 });
  await release();
  await (
    await waiting
  )();
});

test("whoever waits gets the lock although the holder has removed the folder", async (t) => {
  const stackDir = await makeStackDir(t);
  await acquireStackLock(stackDir, { command: "polaris destroy" });
  const next = acquireStackLock(stackDir, { command: "polaris deploy", waitMs: 20_000 });
  await rm(stackDir, { recursive: true });
  await next;
  assert.equal((await readStackLock(stackDir))?.command, "polaris deploy");
});

test("stops waiting when it is cancelled", async (t) => {
  const stackDir = await makeStackDir(t);
  const release = await acquireStackLock(stackDir, { command: "first" });
  const controller = new AbortController();
  const waiting = acquireStackLock(stackDir, {
    command: "second",
    waitMs: 60_000,
    signal: controller.signal,
  });
  controller.abort();
  await assert.rejects(waiting, { code: "CANCELLED" });
  await release();
});

test("the lock of a killed process is taken over by exactly one of those who want it", async (t) => {
  const stackDir = await makeStackDir(t);
  const first = startContender(t, stackDir);
  assert.equal(await first.said, "held");
  let { child } = first;
  for (let round = 0; round < 3; round += 1) {
    await killAndWait(child);
    const contenders = Array.from({ length: 4 }, () => startContender(t, stackDir));
    const answers = await Promise.all(contenders.map((contender) => contender.said));
    assert.deepEqual(answers.toSorted(), ["STACK_LOCKED", "STACK_LOCKED", "STACK_LOCKED", "held"]);
    child = contenders[answers.indexOf("held")]!.child;
    assert.equal((await readStackLock(stackDir))?.pid, child.pid);
    assert.deepEqual(await readdir(stackDir), ["lock.json"]);
  }
});

test("many in one process who find a dead holder: exactly one gets the stack", async (t) => {
  const stackDir = await makeStackDir(t);
  for (let round = 0; round < 20; round += 1) {
    await (
      await acquireStackLock(stackDir, { command: "x" })
    )();
    await writeFile(join(stackDir, "lock.json"), formatHolder(`${round}f`));
    const results = await Promise.allSettled(
      Array.from({ length: 8 }, () => acquireStackLock(stackDir, { command: "polaris deploy" })),
    );
    const won = results.filter((result) => result.status === "fulfilled");
    assert.equal(won.length, 1);
    for (const result of results) {
      if (result.status === "rejected") assert.equal(result.reason.code, "STACK_LOCKED");
    }
    await won[0]!.value();
    assert.deepEqual(await readdir(stackDir), []);
  }
});

test("goes on when one who was taking a dead lock over was killed in the middle", async (t) => {
  const stackDir = await makeStackDir(t);
  await (
    await acquireStackLock(stackDir, { command: "x" })
  )();
  await writeFile(join(stackDir, "lock.json"), formatHolder("aa"));
  await writeFile(join(stackDir, "lock.aa.takeover"), formatHolder("bb"));
  await writeFile(join(stackDir, "lock.bb.takeover"), formatHolder("cc"));
  // Left by one who was too late for a lock that is gone.
  await writeFile(join(stackDir, "lock.dd.takeover"), formatHolder("ee"));
  const release = await acquireStackLock(stackDir, { command: "polaris deploy" });
  assert.equal((await readStackLock(stackDir))?.pid, process.pid);
  assert.deepEqual(await readdir(stackDir), ["lock.json"]);
  await release();
});

test("a pid that belongs to another process by now holds nothing", async (t) => {
  const stackDir = await makeStackDir(t);
  await (
    await acquireStackLock(stackDir, { command: "x" })
  )();
  await writeFile(
    join(stackDir, "lock.json"),
    formatHolder("aa", { pid: process.pid, startTime: "earlier" }),
  );
  await (
    await acquireStackLock(stackDir, { command: "polaris deploy" })
  )();
});

test("a lock of another machine is never taken over: its processes cannot be seen from here", async (t) => {
  const stackDir = await makeStackDir(t);
  await (
    await acquireStackLock(stackDir, { command: "x" })
  )();
  await writeFile(join(stackDir, "lock.json"), formatHolder("aa", { host: "elsewhere" }));
  await assert.rejects(acquireStackLock(stackDir, { command: "polaris deploy" }), { code: "STACK_LOCKED" });
  await assert.rejects(breakStackLock(stackDir, { force: false }), { code: "STACK_LOCKED" });
  assert.equal(
    await breakStackLock(stackDir, { force: true }),
    `ada (polaris deploy, process ${DEAD.pid} on elsewhere) since ${NOW}`,
  );
  assert.equal(await readStackLock(stackDir), undefined);
});

test("refuses a damaged lock file until it is unlocked", async (t) => {
  const stackDir = await makeStackDir(t);
  await (
    await acquireStackLock(stackDir, { command: "x" })
  )();
  for (const text of ["", "{", "null", '{"version":1}', formatHolder("../../x")]) {
    await writeFile(join(stackDir, "lock.json"), text);
    await assert.rejects(acquireStackLock(stackDir, { command: "polaris deploy" }), {
      code: "STATE_CORRUPT",
      hint: "if no other polaris command works on this stack, run: polaris unlock",
    });
    assert.equal(await readFile(join(stackDir, "lock.json"), "utf8"), text);
    assert.equal(await breakStackLock(stackDir, { force: false }), "a damaged lock file");
    assert.deepEqual(await readdir(stackDir), []);
  }
});

test("unlocks a living holder only by force, whose release then does not harm the next", async (t) => {
  const stackDir = await makeStackDir(t);
  assert.equal(await breakStackLock(stackDir, { force: false }), undefined);
  const release = await acquireStackLock(stackDir, { command: "polaris deploy" });
  await assert.rejects(breakStackLock(stackDir, { force: false }), { code: "STACK_LOCKED" });
  assert.match(
    (await breakStackLock(stackDir, { force: true })) ?? "",
    /\(polaris deploy, process \d+ on .*\) since /,
  );
  const releaseNext = await acquireStackLock(stackDir, { command: "polaris destroy" });
  await release();
  assert.equal((await readStackLock(stackDir))?.command, "polaris destroy");
  await releaseNext();
});

test("says that the stack's folder cannot be written", async (t) => {
  const stackDir = await makeStackDir(t);
  await writeFile(stackDir, "a file in its place");
  await assert.rejects(acquireStackLock(stackDir, { command: "polaris deploy" }), {
    code: "STATE_UNWRITABLE",
  });
});

function formatHolder(token: string, other: Partial<typeof DEAD> & { host?: string } = {}): string {
  const holder = { ...DEAD, host: hostname(), user: "ada", command: "polaris deploy", since: NOW, ...other };
  return JSON.stringify({ version: 1, token, ...holder });
}
