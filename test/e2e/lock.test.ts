import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { TestContext } from "node:test";
import { TestProject } from "../polaris-process.ts";

const TWO_STACKS = `version: 1
name: two
workload: { health: { path: /healthz, timeout: 30s } }
targets: { local: { run: [node, server.js], files: [server.js] } }
stacks: { dev: { key: { kind: ephemeral } }, other: {} }
`;

async function createProject(
  context: TestContext,
  stacks: readonly string[],
  files: Readonly<Record<string, string>> = {},
): Promise<TestProject> {
  const project = await TestProject.create(files);
  context.after(() => project.remove(stacks));
  return project;
}

interface LockDocument {
  readonly stacks: Record<
    string,
    { policy: { condition: string; sha256: string }; names: Record<string, string> }
  >;
  readonly deployed: Record<string, Record<string, unknown>>;
}

async function readLock(project: TestProject): Promise<LockDocument> {
  return JSON.parse(await readFile(join(project.dir, "polaris.lock"), "utf8")) as LockDocument;
}

test("two stacks deployed at once are both in polaris.lock, and both verify", async (context) => {
  const project = await createProject(context, ["dev", "other"], { "polaris.yaml": TWO_STACKS });
  const deploys = await Promise.all(
    ["dev", "other"].map((stack) => project.json(["deploy", "--yes", "--stack", stack])),
  );
  for (const deployed of deploys) assert.equal(deployed.error, null);
  const lock = await readLock(project);
  assert.deepEqual(Object.keys(lock.stacks).sort(), ["dev", "other"]);
  assert.deepEqual(Object.keys(lock.deployed).sort(), ["dev", "other"]);
  assert.equal((await project.run(["verify", "--stack", "dev"])).exitCode, 0);
  assert.equal((await project.run(["verify", "--stack", "other"])).exitCode, 0);
});

test("a stack is recorded and verified as it was deployed, whatever was locked meanwhile", async (context) => {
  const project = await createProject(context, ["default"]);
  const server = await readFile(join(project.dir, "server.js"), "utf8");
  const lines =
    'import { existsSync } from "node:fs";\nwhile (!existsSync("go")) await new Promise((resolve) => setTimeout(resolve, 50));\n';
  await writeFile(join(project.dir, "server.js"), lines + server);
  const deploying = project.start(["deploy", "--yes"]);
  // The names are written before what bears them is there.
  const lockPath = join(project.dir, "polaris.lock");
  while (!existsSync(lockPath)) await setTimeout(20);
  await writeFile(join(project.dir, "server.js"), `${lines}${server}// Another version.\n`);
  assert.equal((await project.json(["lock"])).data.changes[0].field, "workload.files.sha256");
  await writeFile(join(project.dir, "go"), "");
  const { exitCode, stderr } = await deploying.finished;
  assert.equal(exitCode, 0, stderr);
  const verified = await project.json(["verify"]);
  assert.equal(verified.error, null);
  assert.deepEqual(
    verified.warnings.map(({ code }) => code),
    ["lock-ahead"],
  );
  assert.deepEqual((await project.json(["lock", "--check"])).data.changes, []);
});

test("two first deploys of one stack at once make one key", async (context) => {
  const project = await createProject(context, ["default"]);
  const both = await Promise.all([
    project.json(["deploy", "--yes", "--wait", "1m"]),
    project.json(["deploy", "--yes", "--wait", "1m"]),
  ]);
  // The one that waited has either taken the names of the first, or says that they are others by now.
  assert.ok(both.some((deployed) => deployed.ok));
  for (const { error } of both)
    assert.ok(error === null || error.code === "LOCK_FILE_STALE", error?.message ?? "");
  assert.equal((await readdir(join(project.dir, ".polaris/default/trust/kms"))).length, 1);
  assert.equal((await project.run(["deploy", "--yes"])).exitCode, 0);
});

test("a deploy that finds the stack held writes nothing into polaris.lock", async (context) => {
  const project = await createProject(context, ["default"], {
    "server.js": "setInterval(() => {}, 1000);\n",
  });
  const first = project.start(["deploy", "--yes"]);
  await first.output(/workload +starting/);
  const before = await readFile(join(project.dir, "polaris.lock"), "utf8");
  await writeFile(join(project.dir, "server.js"), "setInterval(() => {}, 2000);\n");
  assert.equal((await project.json(["deploy", "--yes"])).error?.code, "STACK_LOCKED");
  assert.equal(await readFile(join(project.dir, "polaris.lock"), "utf8"), before);
  first.child.kill("SIGINT");
  await first.finished;
});

test("verify refuses a lock whose policy, key or instance was edited by hand", async (context) => {
  const project = await createProject(context, ["default"]);
  assert.equal((await project.run(["deploy", "--yes"])).exitCode, 0);
  const path = join(project.dir, "polaris.lock");
  const original = await readFile(path, "utf8");
  const edits: ((lock: LockDocument) => void)[] = [
    (lock) => (lock.stacks["default"]!.policy.condition = "true"),
    (lock) => (lock.stacks["default"]!.policy.sha256 = `sha256:${"0".repeat(64)}`),
    (lock) => (lock.stacks["default"]!.names["key"] = "another-key"),
    (lock) => (lock.deployed["default"]!["instanceId"] = "1234567890123456789"),
    (lock) =>
      (lock.deployed["default"]!["keyVersion"] =
        "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"),
  ];
  for (const edit of edits) {
    const lock = JSON.parse(original) as LockDocument;
    edit(lock);
    await writeFile(path, `${JSON.stringify(lock, null, 2)}\n`);
    const verified = await project.json(["verify"]);
    assert.equal(verified.error?.exitCode, 10, String(edit));
    assert.deepEqual(verified.error?.details.failed, ["key-policy"], String(edit));
  }
  await writeFile(path, original);
  assert.equal((await project.run(["verify"])).exitCode, 0);
});

test("a lock that is named on the command line does not make a simulated TEE acceptable", async (context) => {
  const project = await createProject(context, ["default"]);
  assert.equal((await project.run(["deploy", "--yes"])).exitCode, 0);
  const lock = join(project.dir, "polaris.lock");
  const refused = await project.json(["verify", "--lock", lock]);
  assert.deepEqual(refused.error?.details.failed, ["tee"]);
  assert.equal((await project.run(["verify", "--lock", lock, "--allow-simulated"])).exitCode, 0);
  assert.equal(
    (await project.json(["request", "GET", "/hello", "--lock", lock])).error?.code,
    "VERIFICATION_FAILED",
  );
});

test("key.onDestroy: destroy destroys the key, with the stack's name typed, unless --keep-key", async (context) => {
  const yaml = `${TWO_STACKS.replace(/^stacks.*\n/m, "")}key: { onDestroy: destroy }\n`;
  const project = await createProject(context, ["default"], { "polaris.yaml": yaml });
  const first = await project.json(["deploy", "--yes"]);
  assert.equal((await project.json(["destroy", "--yes"])).error?.code, "CONFIRMATION_REQUIRED");
  assert.equal((await project.json(["destroy", "--yes", "--keep-key"])).data.keyDestroyed, false);
  const again = await project.json(["deploy", "--yes"]);
  assert.equal(again.data.publicKeyFingerprint, first.data.publicKeyFingerprint);
  assert.equal((await project.json(["destroy", "--yes", "--confirm", "default"])).data.keyDestroyed, true);
});

test("a lock file that cannot be read stops destroy before anything is destroyed", async (context) => {
  const project = await createProject(context, ["default"]);
  assert.equal((await project.run(["deploy", "--yes"])).exitCode, 0);
  const path = join(project.dir, "polaris.lock");
  const original = await readFile(path, "utf8");
  await writeFile(path, "{}");
  assert.equal((await project.json(["destroy", "--yes"])).error?.code, "LOCK_FILE_CORRUPT");
  assert.equal((await project.json(["status"])).error?.code, "LOCK_FILE_CORRUPT");
  await writeFile(path, original);
  assert.equal((await project.json(["status"])).data.healthy, true);
});

test("each mode of encryption deploys and answers; a request that goes in the clear says so", async (context) => {
  const yaml = (requests: string, responses: string): string =>
    `${TWO_STACKS.replace(/^stacks.*\n/m, "")}proxy: { encryption: { requests: ${requests}, responses: ${responses} } }\n`;
  const project = await createProject(context, ["default"]);
  for (const [requests, responses] of [
    ["off", "off"],
    ["required", "off"],
    ["off", "required"],
    ["optional", "optional"],
  ] as const) {
    await writeFile(join(project.dir, "polaris.yaml"), yaml(requests, responses));
    const deployed = await project.json(["deploy", "--yes"]);
    assert.equal(deployed.error, null, `${requests} ${responses}`);
    const answer = await project.json(["request", "GET", "/hello"]);
    assert.equal(answer.data.status, 200, `${requests} ${responses}`);
    assert.deepEqual(
      answer.warnings.map(({ code }) => code),
      requests === "off" ? ["clear-requests"] : [],
    );
  }
});
