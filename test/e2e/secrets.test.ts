import assert from "node:assert/strict";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { processesOf, TestProject } from "../polaris-process.ts";

const SECRET = "planted-secret-5d41402abc4b2a76";
const PLAINTEXT = "planted-plaintext-7d793037a0760186";
const HEADER = "planted-header-4b227777d4dd1fc6";
const QUERY = "planted-query-ef2d127de37b942b";

let project: TestProject;
const outputs: string[] = [];

before(async () => {
  project = await TestProject.create({
    "polaris.yaml": [
      "version: 1",
      "name: secrets",
      "workload: { secrets: { API_KEY: { fromEnv: TEST_API_KEY } }, health: { path: /healthz } }",
      "targets: { local: { run: [node, server.js] } }",
      "",
    ].join("\n"),
    // Answers with the secret that it was given: the one place where it has to arrive.
    "server.js": `require("node:http").createServer((request, response) => {
      request.resume().on("end", () => response.end(process.env.API_KEY));
    }).listen(process.env.PORT, process.env.HOST);\n`,
  });
  const env = { TEST_API_KEY: SECRET, UNRELATED: "planted-unrelated-3fdba35f04dc8c46" };
  const deployed = await project.run(["deploy", "--yes", "--debug"], env);
  assert.equal(deployed.exitCode, 0, deployed.stderr);
  const args = ["request", "POST", `/echo?q=${QUERY}`, "-d", PLAINTEXT, "-H", `x-planted: ${HEADER}`];
  const answer = await project.run(args, env);
  assert.equal(answer.stdout, SECRET);
  outputs.push(deployed.stdout, deployed.stderr, answer.stderr);
  for (const command of [
    ["status"],
    ["outputs", "--json"],
    ["logs"],
    ["logs", "--part", "trust"],
    ["verify", "--json"],
    ["preview", "--json"],
    ["config", "print"],
  ]) {
    const { stdout, stderr } = await project.run(command, env);
    outputs.push(stdout, stderr);
  }
});
after(() => project.remove());

test("no planted secret is in the state, the logs, the lock or any output", async () => {
  const files = await readdir(project.dir, { recursive: true, withFileTypes: true });
  let searched = 0;
  for (const file of files.filter((entry) => entry.isFile())) {
    const text = await readFile(join(file.parentPath, file.name), "latin1");
    for (const planted of [SECRET, PLAINTEXT, HEADER, QUERY]) {
      assert.ok(!text.includes(planted), `${planted} in ${join(file.parentPath, file.name)}`);
    }
    searched += 1;
  }
  assert.ok(searched > 10, `only ${searched} files searched`);
  for (const planted of [SECRET, PLAINTEXT, HEADER, QUERY])
    assert.ok(!outputs.join("\n").includes(planted), planted);
});

test("no token and no private key is in a log", async () => {
  const logs = join(project.dir, ".polaris/default/logs");
  const token = (
    await readFile(join(project.dir, ".polaris/default/token/attestation-token"), "utf8")
  ).trim();
  const credential = (
    await readFile(join(project.dir, ".polaris/default/credentials/machine"), "utf8")
  ).trim();
  for (const file of await readdir(logs)) {
    const text = await readFile(join(logs, file), "utf8");
    assert.ok(!text.includes(token) && !text.includes(credential) && !/eyJ[\w-]{20,}/.test(text), file);
    assert.doesNotMatch(text, /PRIVATE KEY/);
  }
});

test("no secret is on a command line, and the workload gets nothing of the deployer's environment but its own", async () => {
  const pids = await processesOf(project.dir);
  assert.ok(pids.length >= 4);
  for (const pid of pids) {
    assert.ok(!(await readFile(`/proc/${pid}/cmdline`, "utf8")).includes(SECRET));
    assert.ok(
      !(await readFile(`/proc/${pid}/environ`, "utf8")).includes("planted-unrelated"),
      `environment of ${pid}`,
    );
  }
});

test("everything that Polaris keeps is closed to others", async () => {
  const home = join(project.dir, ".polaris");
  const entries = await readdir(home, { recursive: true, withFileTypes: true });
  assert.equal((await stat(home)).mode & 0o077, 0);
  for (const entry of entries) {
    const mode = (await stat(join(entry.parentPath, entry.name))).mode & 0o077;
    assert.equal(mode, 0, `${join(entry.parentPath, entry.name)} has mode ${mode.toString(8)}`);
  }
});

test("a changed secret replaces the workload, the same one does not", async () => {
  const same = await project.json(["preview"], { TEST_API_KEY: SECRET });
  const other = await project.json(["preview"], { TEST_API_KEY: `${SECRET}x` });
  const action = (document: typeof same): string =>
    document.data.changes.find((change: { part: string }) => change.part === "workload").action;
  assert.deepEqual([action(same), action(other)], ["same", "replace"]);
});
