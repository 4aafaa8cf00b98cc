import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, watch, writeFile } from "node:fs/promises";
import { getCompileCacheDir } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { createLaunch, formatLaunch, launchFiles, readRecord } from "./launch-files.ts";
import type { Launch, PartRecord } from "./launch-files.ts";
import type { PartSpec } from "./part-spec.ts";
import { isAlive, readIdentity } from "./process-identity.ts";
import { RUNNER_EXIT } from "./runner-exit.ts";
import { makeStackDir, shellPart } from "./stack-fixture.ts";

interface Scene {
  readonly stackDir: string;
  readonly launch: Launch;
  readonly files: ReturnType<typeof launchFiles>;
  /** What the part creates when it runs. */
  readonly trace: string;
}

async function makeScene(t: TestContext, script: string, changes: Partial<PartSpec> = {}): Promise<Scene> {
  const stackDir = await makeStackDir(t);
  for (const folder of ["run", "logs"]) await mkdir(join(stackDir, folder));
  const trace = join(stackDir, "trace");
  const launch = createLaunch(shellPart(stackDir, "workload", `echo ran >> '${trace}'; ${script}`, changes));
  const files = launchFiles(stackDir, "workload");
  return { stackDir, launch, files, trace };
}

function startRunner({ stackDir, launch, files }: Scene, env: Record<string, string> = {}): ChildProcess {
  const runner = fileURLToPath(import.meta.resolve("./part-runner.ts"));
  return spawn(process.execPath, [runner, files.spec], {
    detached: true,
    stdio: ["ignore", "ignore", "pipe"],
    env: {
      POLARIS_LAUNCH_ID: launch.launchId,
      POLARIS_LAUNCH_DIR: stackDir,
      NODE_COMPILE_CACHE: getCompileCacheDir(),
      ...env,
    },
  });
}

async function runToEnd(
  scene: Scene,
  env?: Record<string, string>,
): Promise<{ code: unknown; record: PartRecord | undefined }> {
  const [code] = await once(startRunner(scene, env), "exit");
  const found = await readRecord(scene.files.record);
  return { code, record: found.is === "valid" ? found.value : undefined };
}

/** Waits until the record says what is asked, told by the file system and not by time. */
async function waitForRecord(scene: Scene, isMeant: (record: PartRecord) => boolean): Promise<PartRecord> {
  const controller = new AbortController();
  const changes = watch(dirname(scene.files.record), { signal: controller.signal });
  const look = async () => {
    const found = await readRecord(scene.files.record);
    return found.is === "valid" && isMeant(found.value) ? found.value : undefined;
  };
  try {
    // The first look comes after the watch has begun.
    const changed = changes[Symbol.asyncIterator]();
    for (;;) {
      const next = changed.next();
      const record = await look();
      if (record !== undefined) {
        next.catch(() => undefined);
        return record;
      }
      await next;
    }
  } finally {
    controller.abort();
  }
}

test("runs the command, keeps its output, and records how it ended", async (t) => {
  const scene = await makeScene(t, "echo out; echo err >&2; exit 7");
  await writeFile(scene.files.spec, formatLaunch(scene.launch));
  const { code, record } = await runToEnd(scene);
  assert.equal(code, RUNNER_EXIT.ended);
  assert.equal(record?.launchId, scene.launch.launchId);
  assert.equal(record.specDigest, scene.launch.specDigest);
  assert.deepEqual({ ...record.exit, at: "" }, { exitCode: 7, signal: null, at: "", requested: false });
  const lines = (await readFile(scene.files.log, "utf8")).split("\n");
  assert.deepEqual(lines.toSorted(), ["", "err", "out"]);
});

test("records the signal that ended the command", async (t) => {
  const scene = await makeScene(t, "kill -9 $$");
  await writeFile(scene.files.spec, formatLaunch(scene.launch));
  assert.equal((await runToEnd(scene)).record?.exit?.signal, "SIGKILL");
});

const impossible: [string, Partial<PartSpec>, string][] = [
  [
    "a program that does not exist",
    { command: ["/nonexistent/x"] },
    "cannot start /nonexistent/x: there is no such program",
  ],
  [
    "a file that is no program",
    { command: ["/etc/passwd"] },
    "cannot start /etc/passwd: it is not executable",
  ],
  [
    "a folder that does not exist",
    { cwd: "/nonexistent" },
    "cannot start /bin/sh: the folder /nonexistent does not exist",
  ],
  ["a program name of no characters", { command: [""] }, "cannot start : ERR_INVALID_ARG_VALUE"],
];
for (const [what, changes, error] of impossible) {
  test(`records that it cannot start ${what}`, async (t) => {
    const scene = await makeScene(t, "", changes);
    await writeFile(scene.files.spec, formatLaunch(scene.launch));
    const { code, record } = await runToEnd(scene);
    assert.equal(code, RUNNER_EXIT.ended);
    assert.equal(record?.child, undefined);
    assert.deepEqual(
      { ...record?.exit, at: "" },
      { exitCode: null, signal: null, at: "", requested: false, error },
    );
    assert.equal(await readFile(scene.files.log, "utf8"), `polaris: ${error}\n`);
  });
}

test("gives the command its environment and its secrets, and nothing of its own", async (t) => {
  const scene = await makeScene(t, "env", {
    env: { PATH: "/usr/bin:/bin", A: "plan" },
    ambient: { A: "ambient", B: "ambient" },
    secrets: { names: ["TOKEN"], digest: "x" },
  });
  await writeFile(scene.files.spec, formatLaunch(scene.launch));
  await runToEnd(scene, { POLARIS_SECRET_TOKEN: "hunter2", POLARIS_SECRET_OTHER: "not for it", STRAY: "1" });
  const lines = (await readFile(scene.files.log, "utf8")).trim().split("\n");
  // The shell adds these itself.
  const own = lines.filter((line) => !/^(PWD|SHLVL|_|OLDPWD)=/.test(line));
  assert.deepEqual(own.toSorted(), [
    "A=plan",
    "B=ambient",
    "PATH=/usr/bin:/bin",
    `POLARIS_LAUNCH_DIR=${scene.stackDir}`,
    `POLARIS_LAUNCH_ID=${scene.launch.launchId}`,
    "TOKEN=hunter2",
  ]);
  for (const path of [scene.files.spec, scene.files.record]) {
    assert.doesNotMatch(await readFile(path, "utf8"), /hunter2/);
  }
});

test("SIGTERM ends the command with all that it started, and is recorded as asked for", async (t) => {
  const scene = await makeScene(t, "sleep 1000 & echo $! >&2; trap 'exit 0' TERM; echo up; wait", {
    graceMs: 60_000,
  });
  await writeFile(scene.files.spec, formatLaunch(scene.launch));
  const runner = startRunner(scene);
  const { child } = await waitForRecord(scene, (record) => record.child !== undefined);
  await waitForFile(scene.files.log, /^up$/m);
  const descendant = readIdentity(Number(/^\d+$/m.exec(await readFile(scene.files.log, "utf8"))?.[0]))!;
  const exit = once(runner, "exit");
  runner.kill("SIGTERM");
  assert.deepEqual(await exit, [RUNNER_EXIT.ended, null]);
  const record = await waitForRecord(scene, (record) => record.exit !== undefined);
  assert.deepEqual({ ...record.exit, at: "" }, { exitCode: 0, signal: null, at: "", requested: true });
  assert.equal(isAlive(child!), false);
  assert.equal(isAlive(descendant), false);
});

test("a command that ignores SIGTERM is killed after its grace", async (t) => {
  const scene = await makeScene(t, "trap '' TERM; echo up; while :; do sleep 1000; done", { graceMs: 100 });
  await writeFile(scene.files.spec, formatLaunch(scene.launch));
  const runner = startRunner(scene);
  await waitForFile(scene.files.log, /^up$/m);
  runner.kill("SIGTERM");
  const record = await waitForRecord(scene, (record) => record.exit !== undefined);
  assert.deepEqual(
    { ...record.exit, at: "" },
    { exitCode: null, signal: "SIGKILL", at: "", requested: true },
  );
});

test("a runner whose launch is not wanted starts nothing and leaves no record", async (t) => {
  const scene = await makeScene(t, "");
  const other = { ...scene.launch, launchId: "workload.other" };
  for (const text of [undefined, formatLaunch(other), "{", '{"version":2}']) {
    if (text !== undefined) await writeFile(scene.files.spec, text);
    assert.deepEqual(await runToEnd(scene), { code: RUNNER_EXIT.notWanted, record: undefined });
  }
  assert.equal(existsSync(scene.trace), false);
});

test("of several runners of one launch exactly one runs it", async (t) => {
  const scene = await makeScene(t, "read line < fifo");
  execFileSync("mkfifo", [join(scene.stackDir, "fifo")]);
  await writeFile(scene.files.spec, formatLaunch(scene.launch));
  const runners = [1, 2, 3, 4].map(() => startRunner(scene));
  const exits = runners.map((runner) => once(runner, "exit"));
  // The winner's command waits; the others end.
  await Promise.any(exits);
  const winner = (await waitForRecord(scene, (record) => record.child !== undefined)).runner.pid;
  const codes = await Promise.all(exits.filter((_, index) => runners[index]!.pid !== winner));
  assert.deepEqual(
    codes.map(([code]) => code),
    Array.from({ length: 3 }, () => RUNNER_EXIT.alreadyRegistered),
  );
  await writeFile(join(scene.stackDir, "fifo"), "end\n");
  await Promise.all(exits);
  assert.equal(await readFile(scene.trace, "utf8"), "ran\n");
});

test("a runner that loses its spec between registering and starting starts nothing", async (t) => {
  // A named pipe in the spec's place stops the runner at each of its two readings.
  for (const second of [JSON.stringify({}), "other launch"]) {
    const scene = await makeScene(t, "");
    execFileSync("mkfifo", [scene.files.spec]);
    const runner = startRunner(scene);
    const exit = once(runner, "exit");
    await writeFile(scene.files.spec, formatLaunch(scene.launch));
    const record = await waitForRecord(scene, () => true);
    assert.equal(record.runner.pid, runner.pid);
    await writeFile(
      scene.files.spec,
      second === "other launch" ? formatLaunch({ ...scene.launch, launchId: "workload.other" }) : second,
    );
    assert.deepEqual(await exit, [RUNNER_EXIT.notWanted, null]);
    assert.equal(existsSync(scene.trace), false);
    assert.equal((await waitForRecord(scene, () => true)).child, undefined);
    await rm(scene.files.spec);
  }
});

test("a runner that cannot write its log starts nothing and says why", async (t) => {
  for (const [obstacle, reason] of [
    ["a file in its place", "a part of the path is not a folder"],
    ["nothing", "its folder does not exist"],
  ] as const) {
    const scene = await makeScene(t, "");
    await writeFile(scene.files.spec, formatLaunch(scene.launch));
    const folder = dirname(scene.files.log);
    await rm(folder, { recursive: true });
    if (obstacle !== "nothing") await writeFile(folder, "");
    const runner = startRunner(scene);
    let said = "";
    runner.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()));
    const [code] = await once(runner, "close");
    assert.equal(code, RUNNER_EXIT.unwritable);
    assert.equal(said, `cannot write logs/workload.log: ${reason}\n`);
    assert.equal(existsSync(scene.trace), false);
    assert.equal(existsSync(scene.files.record), false);
  }
});

async function waitForFile(path: string, pattern: RegExp): Promise<void> {
  const controller = new AbortController();
  try {
    const changed = watch(dirname(path), { signal: controller.signal })[Symbol.asyncIterator]();
    for (;;) {
      const next = changed.next();
      if (pattern.test(await readFile(path, "utf8").catch(() => ""))) {
        next.catch(() => undefined);
        return;
      }
      await next;
    }
  } finally {
    controller.abort();
  }
}
