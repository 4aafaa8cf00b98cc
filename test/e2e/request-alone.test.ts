/** `polaris request` to an endpoint that the project's polaris.lock does not know. */
import assert from "node:assert/strict";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { TestProject } from "../polaris-process.ts";

const YAML = `version: 1
name: tls
workload: { health: { path: /healthz, timeout: 30s } }
proxy: { tls: attested }
targets: { local: { run: [node, server.js], files: [server.js] } }
`;

/** Whose endpoint the other one calls. */
let deployed: TestProject;
let project: TestProject;
let request: readonly string[];
before(async () => {
  deployed = await TestProject.create({ "polaris.yaml": YAML });
  project = await TestProject.create();
  const { data, error } = await deployed.json(["deploy", "--yes"]);
  assert.equal(error, null);
  request = ["request", "POST", `${data.endpoint}/echo`, "--data", "sent", "--insecure-no-verify"];
});
after(async () => {
  await deployed.remove();
  await rm(project.dir, { recursive: true });
});

test("a lock that knows no deployment of the stack is like none, and the warning tells of the certificate", async () => {
  for (const lock of [false, true]) {
    if (lock) assert.equal((await project.run(["lock"])).exitCode, 0);
    const { stdout, stderr, exitCode } = await project.run(request);
    assert.deepEqual([stdout, exitCode], ["sent", 0], stderr);
    assert.equal(
      stderr,
      "polaris: warning: INSECURE: the key is not verified, and any certificate of the endpoint is taken (--insecure-no-verify)\n",
    );
  }
});

test("a lock that is named has to be there and to know the stack, with --insecure-no-verify too", async () => {
  const missing = await project.json([...request, "--lock", "missing.lock"]);
  assert.equal(missing.error?.code, "EXPECTATIONS_MISSING");
  assert.match(missing.error.message, /missing\.lock/);
  await project.run(["lock"]);
  const unknown = await project.json([...request, "--lock", join(project.dir, "polaris.lock")]);
  assert.equal(unknown.error?.code, "EXPECTATIONS_MISSING");
  const known = await project.run([...request, "--lock", join(deployed.dir, "polaris.lock")]);
  assert.deepEqual([known.stdout, known.exitCode], ["sent", 0], known.stderr);
});

test("a lock that cannot be read is an error", async () => {
  await project.run(["lock"]);
  const path = join(project.dir, "polaris.lock");
  await writeFile(path, `${await readFile(path, "utf8")}{`);
  assert.equal((await project.json(request)).error?.code, "LOCK_FILE_CORRUPT");
});
