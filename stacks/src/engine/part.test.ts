import assert from "node:assert/strict";
import { readFile, stat, writeFile } from "node:fs/promises";
import { hostname, userInfo } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { secret } from "@pulumi/pulumi";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { readIdentity } from "../local/supervisor/process-identity.ts";
import { findTestEngine, skipWithout, startTestMachine } from "./testing/test-part.ts";
import type { ProbeResource } from "./testing/test-part.ts";

const engine = await findTestEngine(process.env);
const onTheEngine = { skip: skipWithout(engine), timeout: 60_000 };

const thing = (properties: Readonly<Record<string, unknown>>): ProbeResource => ({
  type: "probe:index:Thing",
  properties,
});
const slow: ProbeResource = { type: "probe:index:Slow", properties: { name: "a" } };

const PERMISSION = { mayChangeKeys: false };
const DESTROY = { mayChangeKeys: false, keepProtected: false, remove: false, runProgram: false };

function rejectsWith(code: string, message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof PolarisError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };
}

/** All that an engine has of us in these tests: no cloud, and a provider that runs already. */
const ENGINE_VARIABLES = [
  "HOME",
  "PATH",
  "PULUMI_AUTOMATION_API",
  "PULUMI_BACKEND_URL",
  "PULUMI_CONFIG_PASSPHRASE_FILE",
  "PULUMI_DEBUG_COMMANDS",
  "PULUMI_DEBUG_PROVIDERS",
  "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION",
  "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER",
  "PULUMI_HOME",
  "PULUMI_SKIP_UPDATE_CHECK",
];

test("a part is previewed, made, found as it should be, and taken away again", onTheEngine, async (t) => {
  const machine = await startTestMachine(t, engine);
  const part = await machine.open({ disk: thing({ name: "a" }) });

  await assert.rejects(
    part.preview({ expectNoChanges: true }),
    rejectsWith("UNEXPECTED_CHANGES", /no changes were expected/),
  );
  const before = await part.preview();
  assert.deepEqual(
    before.changes.map(({ action, type, name }) => [action, type, name]),
    [["create", "probe:index:Thing", "disk"]],
  );
  assert.deepEqual(before.outputs, { disk: undefined });
  assert.deepEqual(machine.provider.calls, []);

  const { outputs, changes } = await part.up(PERMISSION);
  assert.deepEqual(outputs, { disk: { value: "id-1", secret: false } });
  assert.equal(changes.length, 1);
  assert.deepEqual(
    machine.progress.current.steps.map(({ action, name, phase }) => [action, name, phase]),
    [["create", "disk", "done"]],
  );
  assert.deepEqual(await part.outputs(), outputs);

  assert.deepEqual(await part.preview({ expectNoChanges: true }), { changes: [], outputs: { disk: "id-1" } });
  await part.destroy({ ...DESTROY, remove: true });
  assert.deepEqual(machine.provider.calls, ["create probe:index:Thing", "delete probe:index:Thing"]);
  await assert.rejects(
    machine.open({}, { createMissing: false }),
    rejectsWith("STACK_NOT_FOUND", /no stack hello-default-base/),
  );
});

test(
  "a second machine with the passphrase reads the secrets of the first; one without does not",
  onTheEngine,
  async (t) => {
    const machine = await startTestMachine(t, engine);
    const program = async () => ({ password: secret("correct horse") });
    await (await machine.open({}, { program })).up(PERMISSION);

    const second = await machine.open({}, { program, workDir: join(machine.directory, "second") });
    assert.deepEqual(await second.outputs(), { password: { value: "correct horse", secret: true } });

    const third = machine.open(
      {},
      {
        program,
        workDir: join(machine.directory, "third"),
        secrets: { kind: "passphrase", file: join(machine.directory, "other-passphrase") },
      },
    );
    await assert.rejects(
      async () => (await third).outputs(),
      rejectsWith("STATE_CORRUPT", /passphrase does not fit/),
    );
    assert.equal((await stat(join(machine.directory, "other-passphrase"))).mode & 0o777, 0o600);
  },
);

test("a saved plan is run exactly, and refused when the program has changed", onTheEngine, async (t) => {
  const machine = await startTestMachine(t, engine);
  const planFile = join(machine.directory, "saved.plan");
  const part = await machine.open({ disk: thing({ name: "a", token: () => "hush-hush-hush" }) });
  await part.preview({ planFile });
  assert.equal((await stat(planFile)).mode & 0o777, 0o600);
  assert.doesNotMatch(await readFile(planFile, "utf8"), /hush-hush-hush/);

  const changed = await machine.open({ disk: thing({ name: "b", token: () => "hush-hush-hush" }) });
  await assert.rejects(
    changed.up({ ...PERMISSION, planFile }),
    rejectsWith("UNEXPECTED_CHANGES", /saved plan does not fit.*disk/),
  );
  assert.deepEqual(machine.provider.calls, []);

  await (
    await machine.open({ disk: thing({ name: "a", token: () => "hush-hush-hush" }) })
  ).up({
    ...PERMISSION,
    planFile,
  });
  assert.deepEqual(machine.provider.calls, ["create probe:index:Thing"]);
});

test("a key is replaced and deleted only with the user's permission", onTheEngine, async (t) => {
  const machine = await startTestMachine(t, engine);
  const keyTypes = new Set(["probe:index:Thing"]);
  await (await machine.open({ key: thing({ name: "a" }) }, { keyTypes })).up(PERMISSION);
  const calls = machine.provider.calls.length;

  const renamed = await machine.open({ key: thing({ name: "b" }) }, { keyTypes });
  await assert.rejects(renamed.up(PERMISSION), rejectsWith("KEY_CHANGE_REFUSED", /replace .*Thing "key"/));

  const planFile = join(machine.directory, "saved.plan");
  await renamed.preview({ planFile });
  await assert.rejects(renamed.up({ ...PERMISSION, planFile }), rejectsWith("KEY_CHANGE_REFUSED", /replace/));

  const dropped = await machine.open({}, { keyTypes });
  await dropped.preview({ planFile });
  await assert.rejects(dropped.up({ ...PERMISSION, planFile }), rejectsWith("KEY_CHANGE_REFUSED", /delete/));
  await assert.rejects(dropped.destroy(DESTROY), rejectsWith("KEY_CHANGE_REFUSED", /delete/));
  assert.equal(machine.provider.calls.length, calls, "the cloud was asked to change something");

  await renamed.up({ mayChangeKeys: true });
  assert.deepEqual(machine.provider.calls.slice(calls), [
    "create probe:index:Thing",
    "delete probe:index:Thing",
  ]);
});

test("what is protected is kept by a destroy that is told to keep it", onTheEngine, async (t) => {
  const machine = await startTestMachine(t, engine);
  const key = { ...thing({ name: "a" }), options: { protect: true } };
  const part = await machine.open({ key, disk: thing({ name: "b" }) }, { keyTypes: new Set() });
  await part.up(PERMISSION);
  await assert.rejects(
    part.destroy(DESTROY),
    rejectsWith("KEY_CHANGE_REFUSED", /^deleting .*"key" is refused/),
  );
  await part.destroy({ ...DESTROY, keepProtected: true });
  assert.deepEqual(
    (await part.preview()).changes.map(({ name, action }) => [name, action]),
    [["disk", "create"]],
  );
});

test(
  "a refusal of the cloud is one error with its words, our hint and a log without secrets",
  onTheEngine,
  async (t) => {
    const machine = await startTestMachine(t, engine);
    const failure =
      "1 error occurred:\n\t* Error creating Disk: googleapi: Error 403: Quota 'DISKS' exceeded for s3cr3t-value.: provider=google@9.35.0\n\n";
    const part = await machine.open(
      { disk: thing({ name: "a", failure }), bystander: thing({ name: "b" }) },
      {
        secretValues: ["s3cr3t-value"],
        findHint: (message) => (/Quota/.test(message) ? "ask for more" : undefined),
      },
    );
    await assert.rejects(part.up(PERMISSION), (error: unknown) => {
      assert.ok(error instanceof PolarisError);
      assert.equal(error.code, "CLOUD_RESOURCE_FAILED");
      assert.equal(
        error.message,
        `cannot create probe:index:Thing "disk": Error creating Disk: googleapi: Error 403: Quota 'DISKS' exceeded for [secret].`,
      );
      assert.match(error.hint ?? "", /^ask for more; all that was said is in .*engine\.log$/);
      assert.doesNotMatch(JSON.stringify(error.details), /s3cr3t/);
      return true;
    });
    const failed = machine.progress.current.steps.find(({ name }) => name === "disk");
    assert.equal(failed?.phase, "failed");
    assert.match(failed?.reason ?? "", /^Error creating Disk/);

    const log = join(machine.directory, "work", "engine.log");
    assert.equal((await stat(log)).mode & 0o777, 0o600);
    const text = await readFile(log, "utf8");
    assert.match(text, /Quota 'DISKS' exceeded for \[secret\]/);
    assert.doesNotMatch(text, /s3cr3t/);
  },
);

test("an error of the program itself comes out as it was thrown", onTheEngine, async (t) => {
  const machine = await startTestMachine(t, engine);
  const ours = await machine.start("throws an error of ours").result();
  assert.deepEqual(ours, { code: "CONFIG_INVALID", message: "no zone has it" });
  const other = await machine.start("throws another error").result();
  assert.equal(other.code, "ENGINE_FAILED");
  assert.equal(other.message, "the program of the stack failed: a bug");
});

test(
  "who finds a stack locked is told by whom, and that engine knows nothing of its user but what it needs",
  onTheEngine,
  async (t) => {
    const machine = await startTestMachine(t, engine);
    const first = await machine.open({ slow }, { workDir: join(machine.directory, "first") });
    const second = await machine.open({ slow });
    const running = first.up(PERMISSION);
    await machine.provider.slowBegun();

    const [lock] = (await second.findLocks()) ?? [];
    assert.equal(lock?.user, userInfo().username);
    assert.equal(lock?.host, hostname());
    assert.equal(lock?.isOrphaned, false);
    assert.ok(Date.now() - Date.parse(lock?.since ?? "") < 60_000);

    const said = new RegExp(`locked by .* \\(process ${lock?.pid} on .*\\) since 20`);
    await assert.rejects(second.up(PERMISSION), rejectsWith("STACK_LOCKED", said));
    await assert.rejects(second.cancelLock({ force: false }), rejectsWith("STACK_LOCKED", said));

    const environment = await readFile(`/proc/${lock?.pid}/environ`, "utf8");
    const names = environment
      .split("\0")
      .map((line) => line.split("=")[0])
      .filter((name) => name !== "");
    assert.deepEqual(new Set(names), new Set(ENGINE_VARIABLES));

    machine.provider.releaseSlow();
    await running;
    assert.deepEqual(await second.findLocks(), []);
    assert.deepEqual(await second.cancelLock({ force: false }), []);
  },
);

test("one Ctrl-C ends the step that runs, and the next up goes on from there", onTheEngine, async (t) => {
  const machine = await startTestMachine(t, engine);
  const running = machine.start("makes a Slow");
  await machine.provider.slowBegun();
  running.process.kill("SIGINT");
  machine.provider.releaseSlow();
  const { code, hint } = await running.result();
  assert.equal(code, "CANCELLED");
  assert.equal(hint, "run the same command again to go on");

  const next = await machine.open({ slow });
  assert.deepEqual(await next.findLocks(), []);
  assert.deepEqual(await next.pendingOperations(), []);
  await next.up(PERMISSION);
});

test(
  "a second Ctrl-C leaves the step in the middle, says which, and tells how to go on",
  onTheEngine,
  async (t) => {
    const machine = await startTestMachine(t, engine);
    const running = machine.start("makes a Slow");
    await machine.provider.slowBegun();
    running.process.kill("SIGINT");
    const next = await machine.open({ slow });
    running.process.kill("SIGINT");
    const { code, message, hint } = await running.result();
    assert.equal(code, "CANCELLED");
    assert.match(message, /^up was stopped at once; not known how it ended: create probe:index:Slow "slow"$/);
    assert.match(hint ?? "", /polaris unlock, then the same command again/);

    assert.deepEqual(await next.cancelLock({ force: false }), []);
    assert.deepEqual(
      (await next.pendingOperations()).map(({ doing, type, name }) => [doing, type, name]),
      [["creating", "probe:index:Slow", "slow"]],
    );
    machine.provider.releaseSlow();
    await next.refresh({ clearPendingCreates: true });
    assert.deepEqual(await next.pendingOperations(), []);
    await next.up(PERMISSION);
  },
);

test(
  "the lock of an engine that was killed is told from one that works, and taken away",
  onTheEngine,
  async (t) => {
    const machine = await startTestMachine(t, engine);
    const running = machine.start("makes a Slow");
    await machine.provider.slowBegun();
    const next = await machine.open({ slow });
    const [held] = (await next.findLocks()) ?? [];
    process.kill(held?.pid ?? 0, "SIGKILL");
    assert.equal((await running.result()).code, "ENGINE_FAILED");
    machine.provider.releaseSlow();

    await assert.rejects(next.up(PERMISSION), rejectsWith("STACK_LOCKED", /a process that is gone/));
    const [taken] = await next.cancelLock({ force: false });
    assert.equal(taken?.isOrphaned, true);
    await next.up(PERMISSION);
  },
);

test("an engine does not outlive the process that started it", onTheEngine, async (t) => {
  const machine = await startTestMachine(t, engine);
  const running = machine.start("makes a Slow");
  await machine.provider.slowBegun();
  const part = await machine.open({});
  const [held] = (await part.findLocks()) ?? [];
  running.process.kill("SIGKILL");
  machine.provider.releaseSlow();
  const deadlineMs = Date.now() + 20_000;
  while (readIdentity(held?.pid ?? 0) !== undefined && Date.now() < deadlineMs) await sleep(50);
  assert.equal(readIdentity(held?.pid ?? 0), undefined);
  // It has nobody left to tell, and no time to clean up.
  assert.equal((await part.findLocks())?.[0]?.isOrphaned, true);
});

test("a state that was damaged is said to be so", onTheEngine, async (t) => {
  const machine = await startTestMachine(t, engine);
  await (await machine.open({ disk: thing({ name: "a" }) })).up(PERMISSION);
  await writeFile(
    join(machine.directory, "state", ".pulumi", "stacks", "probe", "hello-default-base.json"),
    '{"version": 3, "checkpoint": {"latest": {"resources": 7}}}',
  );
  await assert.rejects(
    async () => (await machine.open({ disk: thing({ name: "a" }) })).preview(),
    rejectsWith("STATE_CORRUPT", /cannot be understood/),
  );
});
