import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, readdir, realpath, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { converge } from "./converge.ts";
import type { PartEvent } from "./converge.ts";
import { createLaunch, formatLaunch, launchFiles } from "./launch-files.ts";
import type { PartRecord } from "./launch-files.ts";
import { findMarkedProcesses } from "./marked-processes.ts";
import { planChanges } from "./next-step.ts";
import { observe } from "./observe.ts";
import type { ObservedPart } from "./observe.ts";
import { PART_NAMES } from "./part-spec.ts";
import type { PartName, PartSpec } from "./part-spec.ts";
import { isAlive, waitForEnd } from "./process-identity.ts";
import { makeStackDir, scriptPart, shellPart } from "./stack-fixture.ts";

const onLinux = { skip: process.platform !== "linux" && "processes are found by their mark only on Linux" };

function allParts(stackDir: string): PartSpec[] {
  return PART_NAMES.map((part) => scriptPart(stackDir, part));
}

async function observePart(stackDir: string, name: PartName): Promise<ObservedPart> {
  return (await observe(stackDir)).find(({ part }) => part === name)!;
}

async function recordOf(stackDir: string, name: PartName): Promise<PartRecord> {
  const part = await observePart(stackDir, name);
  assert.ok("record" in part, part.state);
  return part.record;
}

function startedParts(events: readonly PartEvent[]): string[] {
  return events.filter(({ phase }) => phase === "starting").map(({ part }) => part);
}

test("starts all parts in order, then has nothing to do, then ends them in reverse", async (t) => {
  const stackDir = await makeStackDir(t);
  const desired = allParts(stackDir);
  const events: PartEvent[] = [];
  const onEvent = (event: PartEvent) => events.push(event);
  const parts = await converge({ stackDir, desired, onEvent });
  assert.deepEqual(
    parts.map(({ state }) => state),
    ["running", "running", "running", "running"],
  );
  assert.deepEqual(startedParts(events), ["trust", "workload", "token-agent", "proxy"]);
  assert.deepEqual(events.at(-1)?.part, "proxy");
  assert.deepEqual(events.at(-1)?.phase, "ready");
  assert.ok(events.every(({ elapsedMs }) => elapsedMs >= 0 && elapsedMs < 20_000));
  assert.deepEqual(
    planChanges(desired, parts).map(({ action }) => action),
    ["same", "same", "same", "same"],
  );

  const before = await Promise.all(PART_NAMES.map((part) => recordOf(stackDir, part)));
  events.length = 0;
  await converge({ stackDir, desired, onEvent });
  assert.deepEqual(
    events.map(({ phase }) => phase),
    ["ready", "ready", "ready", "ready"],
  );
  assert.deepEqual(await Promise.all(PART_NAMES.map((part) => recordOf(stackDir, part))), before);

  events.length = 0;
  await converge({ stackDir, desired: "absent", onEvent });
  assert.deepEqual(
    events.map(({ part, phase }) => `${part} ${phase}`),
    PART_NAMES.toReversed().flatMap((part) => [`${part} stopping`, `${part} stopped`]),
  );
  assert.deepEqual(
    (await observe(stackDir)).map(({ state }) => state),
    ["absent", "absent", "absent", "absent"],
  );
  for (const { runner, child } of before)
    assert.deepEqual([isAlive(runner), isAlive(child!)], [false, false]);
  assert.deepEqual(findMarkedProcesses(stackDir), []);
  assert.deepEqual(await readdir(join(stackDir, "run")), []);
});

test("replaces only the part that is changed", async (t) => {
  const stackDir = await makeStackDir(t);
  const desired = [scriptPart(stackDir, "trust"), scriptPart(stackDir, "workload")];
  await converge({ stackDir, desired });
  const trust = await recordOf(stackDir, "trust");
  const workload = await recordOf(stackDir, "workload");
  const changed = [desired[0]!, scriptPart(stackDir, "workload", { identity: "other files" })];
  assert.deepEqual(planChanges(changed, await observe(stackDir)), [
    { part: "trust", action: "same", reason: "as planned" },
    { part: "workload", action: "replace", reason: "changed: files" },
  ]);
  await converge({ stackDir, desired: changed });
  assert.deepEqual(await recordOf(stackDir, "trust"), trust);
  assert.notEqual((await recordOf(stackDir, "workload")).child?.pid, workload.child?.pid);
  assert.equal(isAlive(workload.child!), false);
});

test("ends a part that the stack does not have any more", async (t) => {
  const stackDir = await makeStackDir(t);
  await converge({ stackDir, desired: [scriptPart(stackDir, "trust"), scriptPart(stackDir, "workload")] });
  await converge({ stackDir, desired: [scriptPart(stackDir, "workload")] });
  assert.deepEqual(
    (await observe(stackDir)).map(({ state }) => state),
    ["absent", "absent", "running", "absent"],
  );
});

test("hands secrets to the part that names them, and writes them nowhere", async (t) => {
  const stackDir = await makeStackDir(t);
  const seen = join(stackDir, "seen");
  const secrets = { names: ["TOKEN"], digest: "aa" };
  const ready = { probes: [{ kind: "file" as const, path: seen }] };
  const desired = [
    shellPart(stackDir, "trust", "env >&2; exec sleep 1000"),
    shellPart(stackDir, "workload", `echo "$TOKEN" > '${seen}'; exec sleep 1000`, { secrets, ...ready }),
  ];
  await converge({ stackDir, desired, secretEnv: { TOKEN: "hunter2", OTHER: "hunter3" } });
  assert.equal(await readFile(seen, "utf8"), "hunter2\n");
  await rm(seen);
  const entries = await readdir(stackDir, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  // Two specs, two records, two logs, two logs of runners.
  assert.equal(files.length, 8);
  for (const file of files) assert.doesNotMatch(await readFile(file, "utf8"), /hunter/, file);
  const { runner } = await recordOf(stackDir, "workload");
  if (process.platform === "linux") {
    assert.doesNotMatch(await readFile(`/proc/${runner.pid}/cmdline`, "utf8"), /hunter/);
  }
});

test("a secret that is missing or cannot be handed over is refused before anything is touched", async (t) => {
  const stackDir = await makeStackDir(t);
  const spec = scriptPart(stackDir, "workload", { secrets: { names: ["TOKEN"], digest: "aa" } });
  await assert.rejects(converge({ stackDir, desired: [spec] }), {
    code: "SECRET_MISSING",
    message: "the secret TOKEN of workload is missing",
  });
  await assert.rejects(
    converge({ stackDir, desired: [spec], secretEnv: { TOKEN: "hunter2\0" } }),
    (error: Error) => {
      assert.equal(error.message, "the secret TOKEN of workload contains a NUL character");
      assert.doesNotMatch(JSON.stringify(error), /hunter2/);
      return true;
    },
  );
  assert.equal((await observePart(stackDir, "workload")).state, "absent");
});

test("a workload that exits fails at once, with its code and its last lines of this launch", async (t) => {
  const stackDir = await makeStackDir(t);
  const script = "i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo line $i; done; echo no newline >&2; exit 3";
  const desired = [
    scriptPart(stackDir, "trust"),
    shellPart(stackDir, "workload", script, {
      probes: [{ kind: "file", path: "/nonexistent" }],
      readyTimeoutMs: 60_000,
    }),
  ];
  for (let round = 0; round < 2; round += 1) {
    const events: PartEvent[] = [];
    const began = performance.now();
    await assert.rejects(converge({ stackDir, desired, onEvent: (event) => events.push(event) }), (error) => {
      const { code, message, details } = error as {
        code: string;
        message: string;
        details: { lastLines: string[] };
      };
      assert.equal(code, "WORKLOAD_EXITED");
      assert.equal(message, "workload exited with code 3 although it was to run");
      const { lastLines, ...rest } = details;
      assert.deepEqual(rest, { part: "workload", exitCode: 3, signal: null });
      assert.equal(lastLines.length, 20);
      assert.ok(lastLines.includes("line 30"));
      return true;
    });
    assert.ok(performance.now() - began < 15_000);
    assert.deepEqual(events.at(-1)?.phase, "failed");
    assert.equal((await observePart(stackDir, "workload")).state, "exited");
  }
});

test("another part that ends, or cannot be started, is a failure of that part", async (t) => {
  const stackDir = await makeStackDir(t);
  await assert.rejects(converge({ stackDir, desired: [shellPart(stackDir, "trust", "kill -9 $$")] }), {
    code: "PART_FAILED",
    message: "trust was ended by SIGKILL although it was to run",
    details: { part: "trust", exitCode: null, signal: "SIGKILL", lastLines: [] },
  });
  await assert.rejects(
    converge({ stackDir, desired: [shellPart(stackDir, "proxy", "", { command: ["/nonexistent/x"] })] }),
    {
      code: "PART_FAILED",
      message: "proxy: cannot start /nonexistent/x: there is no such program",
    },
  );
});

test("a part that never becomes ready is an error of its own after its time", async (t) => {
  const cases = [
    ["trust", "TIMEOUT"],
    ["workload", "WORKLOAD_UNHEALTHY"],
    ["proxy", "PROXY_UNHEALTHY"],
  ] as const;
  await Promise.all(
    cases.map(async ([part, code]) => {
      const stackDir = await makeStackDir(t);
      const spec = shellPart(stackDir, part, "echo working; exec sleep 1000", {
        probes: [{ kind: "file", path: join(stackDir, "never") }],
        readyTimeoutMs: 1_500,
      });
      await assert.rejects(converge({ stackDir, desired: [spec] }), {
        code,
        message: `${part} was not ready after 1.5 s`,
        details: { part, timeoutMs: 1_500, lastLines: ["working"] },
      });
      assert.equal((await observePart(stackDir, part)).state, "running");
    }),
  );
});

test("a part that was killed, or whose runner was, is seen and mended", async (t) => {
  const stackDir = await makeStackDir(t);
  const desired = [scriptPart(stackDir, "trust"), scriptPart(stackDir, "workload")];
  await converge({ stackDir, desired });
  for (const victims of [["child"], ["runner"], ["runner", "child"]] as const) {
    const record = await recordOf(stackDir, "workload");
    for (const victim of victims) process.kill(record[victim]!.pid, "SIGKILL");
    for (const victim of victims) await waitForEnd(record[victim]!, 10_000);
    if (victims[0] === "child") await waitForEnd(record.runner, 10_000);
    const seen = await observePart(stackDir, "workload");
    assert.equal(seen.state, victims[0] === "child" ? "exited" : "runner-lost");
    assert.equal(planChanges(desired, await observe(stackDir))[1]?.action, "restart");
    await converge({ stackDir, desired });
    const next = await recordOf(stackDir, "workload");
    assert.notEqual(next.launchId, record.launchId);
    assert.equal(isAlive(record.child!), false);
    if (process.platform === "linux") {
      const launches = new Set(findMarkedProcesses(stackDir).map(({ launchId }) => launchId));
      assert.deepEqual(launches, new Set([next.launchId, (await recordOf(stackDir, "trust")).launchId]));
    }
  }
});

test("a part that hangs is started anew, once", async (t) => {
  const stackDir = await makeStackDir(t);
  const spec = scriptPart(stackDir, "workload", { readyTimeoutMs: 10 });
  const desired = [{ ...spec, readyTimeoutMs: 20_000 }];
  await converge({ stackDir, desired });
  const before = await recordOf(stackDir, "workload");
  await rm(join(stackDir, "workload.ready"));
  // Its time is over: it was to be ready within 10 ms.
  await converge({ stackDir, desired: [{ ...spec, readyTimeoutMs: 3_000 }] });
  assert.notEqual((await recordOf(stackDir, "workload")).launchId, before.launchId);
});

test("damaged files are repaired, and what ran under them is ended", onLinux, async (t) => {
  const stackDir = await makeStackDir(t);
  const desired = [scriptPart(stackDir, "workload")];
  const files = launchFiles(stackDir, "workload");
  for (const [path, text, state] of [
    [files.record, "{", "corrupted"],
    [files.record, JSON.stringify({ version: 1, part: "workload", runner: { pid: -1 } }), "corrupted"],
    [files.spec, "{", "running"],
  ] as const) {
    await converge({ stackDir, desired });
    const record = await recordOf(stackDir, "workload");
    await writeFile(path, text);
    assert.equal((await observePart(stackDir, "workload")).state, state);
    await converge({ stackDir, desired });
    assert.deepEqual([isAlive(record.runner), isAlive(record.child!)], [false, false]);
    assert.equal((await observePart(stackDir, "workload")).state, "running");
  }
});

test("a stack whose records were removed by hand is ended all the same", onLinux, async (t) => {
  const stackDir = await makeStackDir(t);
  await converge({ stackDir, desired: allParts(stackDir) });
  assert.ok(findMarkedProcesses(stackDir).length >= 8);
  await rm(join(stackDir, "run"), { recursive: true });
  await rm(join(stackDir, "logs"), { recursive: true });
  await converge({ stackDir, desired: "absent" });
  assert.deepEqual(findMarkedProcesses(stackDir), []);
});

test("a daemon that left its group ends with its part", onLinux, async (t) => {
  const stackDir = await makeStackDir(t);
  const ready = join(stackDir, "ready");
  const script = `setsid sh -c "trap '' HUP; echo up > '${ready}'; exec sleep 1000" & wait`;
  await converge({
    stackDir,
    desired: [shellPart(stackDir, "workload", script, { probes: [{ kind: "file", path: ready }] })],
  });
  await converge({ stackDir, desired: "absent" });
  assert.deepEqual(findMarkedProcesses(stackDir), []);
});

test("a copied folder never touches the processes of the original; a moved one keeps them", async (t) => {
  const stackDir = await makeStackDir(t);
  const desired = [scriptPart(stackDir, "workload")];
  await converge({ stackDir, desired });
  const record = await recordOf(stackDir, "workload");
  const elsewhere = await realpath(await mkdtemp(join(tmpdir(), "polaris-elsewhere-")));
  t.after(() => rm(elsewhere, { recursive: true, force: true }));

  const copy = join(elsewhere, "copy");
  await cp(stackDir, copy, { recursive: true });
  assert.equal((await observePart(copy, "workload")).state, "corrupted");
  await converge({ stackDir: copy, desired: "absent" });
  assert.deepEqual([isAlive(record.runner), isAlive(record.child!)], [true, true]);
  assert.equal((await observePart(stackDir, "workload")).state, "running");

  const moved = join(elsewhere, "moved");
  await rename(stackDir, moved);
  assert.equal((await observePart(moved, "workload")).state, "running");
  await converge({ stackDir: moved, desired: "absent" });
  assert.deepEqual([isAlive(record.runner), isAlive(record.child!)], [false, false]);
  await mkdir(stackDir);
});

test("a pid in a record that belongs to a stranger by now is left alone", async (t) => {
  const stackDir = await makeStackDir(t);
  const desired = [scriptPart(stackDir, "workload")];
  await converge({ stackDir, desired });
  const record = await recordOf(stackDir, "workload");
  await converge({ stackDir, desired: "absent" });
  // This very process stands for the stranger: it would not survive.
  const stranger = { pid: process.pid, startTime: record.runner.startTime };
  await writeFile(
    launchFiles(stackDir, "workload").record,
    JSON.stringify({ version: 1, ...record, runner: stranger, child: stranger }),
  );
  assert.equal((await observePart(stackDir, "workload")).state, "runner-lost");
  await converge({ stackDir, desired: "absent" });
  assert.equal((await observePart(stackDir, "workload")).state, "absent");
});

test("a launch whose command was killed before its runner came is started anew, or forgotten", async (t) => {
  const stackDir = await makeStackDir(t);
  const spec = scriptPart(stackDir, "workload");
  const files = launchFiles(stackDir, "workload");
  await mkdir(dirname(files.spec));
  for (const desired of [[spec], "absent"] as const) {
    await writeFile(files.spec, formatLaunch(createLaunch(spec)));
    assert.equal((await observePart(stackDir, "workload")).state, "launched");
    await converge({ stackDir, desired });
    assert.equal(
      (await observePart(stackDir, "workload")).state,
      desired === "absent" ? "absent" : "running",
    );
    await converge({ stackDir, desired: "absent" });
    assert.equal(existsSync(files.spec), false);
  }
});

test("Ctrl-C ends the waiting with CANCELLED, and the next command goes on", async (t) => {
  const stackDir = await makeStackDir(t);
  const gate = join(stackDir, "gate");
  const slow = shellPart(stackDir, "workload", "echo up; exec sleep 1000", {
    probes: [{ kind: "file", path: gate }],
  });
  const desired = [scriptPart(stackDir, "trust"), slow, scriptPart(stackDir, "proxy")];
  const controller = new AbortController();
  const onEvent = ({ part, phase }: PartEvent) => {
    if (part === "trust" && phase === "ready") controller.abort();
  };
  await assert.rejects(converge({ stackDir, desired, onEvent, signal: controller.signal }), {
    code: "CANCELLED",
    exitCode: 8,
  });
  const before = await recordOf(stackDir, "trust");
  await writeFile(gate, "open");
  await converge({ stackDir, desired });
  assert.equal((await recordOf(stackDir, "trust")).launchId, before.launchId);
  await assert.rejects(converge({ stackDir, desired: "absent", signal: AbortSignal.abort() }), {
    code: "CANCELLED",
  });
  await converge({ stackDir, desired: "absent" });
  assert.deepEqual(findMarkedProcesses(stackDir), []);
});

test("a folder that cannot be written is told, and nothing is left running", async (t) => {
  for (const name of ["run", "logs"]) {
    const stackDir = await makeStackDir(t);
    await writeFile(join(stackDir, name), "a file in place of the folder");
    await assert.rejects(
      converge({ stackDir, desired: [scriptPart(stackDir, "workload")] }),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, "STATE_UNWRITABLE");
        assert.ok(error.message.startsWith(`cannot write ${join(stackDir, name)}`), error.message);
        return true;
      },
    );
    assert.deepEqual(findMarkedProcesses(stackDir), []);
    await rm(join(stackDir, name));
  }
});

test(
  "a disk that is full is told at every point of a start, and nothing is left running",
  onLinux,
  async (t) => {
    const stackDir = await makeStackDir(t);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "polaris-test", stackDir], { stdio: "ignore" });
    } catch {
      return t.skip("needs the right to mount a small file system");
    }
    try {
      const workload = scriptPart(stackDir, "workload", { probes: [] });
      await converge({ stackDir, desired: [workload] });
      await converge({ stackDir, desired: "absent" });
      let failures = 0;
      // A page more is free in each round, so that each time another write is the first that fails.
      for (let freePages = 0; freePages < 8; freePages += 1) {
        execFileSync(
          "sh",
          ["-c", `rm -f full; cat /dev/zero > full 2>/dev/null; truncate -s -${freePages * 4096} full`],
          {
            cwd: stackDir,
          },
        );
        try {
          await converge({ stackDir, desired: [workload] });
        } catch (error) {
          assert.equal((error as { code?: string }).code, "STATE_UNWRITABLE", String(error));
          failures += 1;
        }
        await rm(join(stackDir, "full"));
        await converge({ stackDir, desired: "absent" });
        assert.deepEqual(findMarkedProcesses(stackDir), []);
      }
      assert.ok(failures >= 2, `${failures} failures`);
    } finally {
      await converge({ stackDir, desired: "absent" });
      execFileSync("umount", [stackDir]);
    }
  },
);

test("what killed commands have half written is removed, what living ones write is not", async (t) => {
  const stackDir = await makeStackDir(t);
  const folder = join(stackDir, "run");
  await mkdir(folder);
  const dead = `.workload.json.${2 ** 30}.0123456789ab.tmp`;
  const living = `.workload.json.${process.pid}.0123456789ab.tmp`;
  for (const name of [dead, living]) await writeFile(join(folder, name), "{");
  await converge({ stackDir, desired: "absent" });
  assert.deepEqual(await readdir(folder), [living]);
});

test("a stack that was never there is absent already", async (t) => {
  const stackDir = join(await makeStackDir(t), "never");
  await converge({ stackDir, desired: "absent" });
  assert.equal(existsSync(stackDir), false);
});

test("a stack folder that is no folder is told", async (t) => {
  const stackDir = await makeStackDir(t);
  await writeFile(join(stackDir, "file"), "");
  await assert.rejects(observe(join(stackDir, "file", "dev")), { code: "STATE_CORRUPT" });
});
