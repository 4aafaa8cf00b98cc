import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { processesOf, TestProject } from "../polaris-process.ts";

// One story, told in order: each test goes on from where the one before ended.
let project: TestProject;
let endpoint: string;
let fingerprint: string;

before(async () => {
  project = await TestProject.create();
});
after(() => project.remove());

test("deploy ends with an endpoint, a verification that says simulated, and what to type next", async () => {
  const { exitCode, stdout, stderr } = await project.run(["deploy", "--yes"]);
  assert.equal(exitCode, 0, stderr);
  endpoint = stdout.trim();
  assert.match(endpoint, /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.match(stderr, /✓ verified \(SIMULATED: no TEE, proves nothing about hardware\)/);
  assert.match(stderr, /✗ local-no-tee/);
  assert.match(stderr, /^ {2}polaris request GET \/healthz$/m);
  assert.equal((await fetch(`${endpoint}/polaris-container/health`)).status, 200);
});

test("outputs tells endpoint and public key, for people and for machines", async () => {
  const document = await project.json(["outputs"]);
  assert.equal(document.ok, true);
  assert.equal(document.data.endpoint, endpoint);
  fingerprint = document.data.publicKeyFingerprint;
  assert.match(fingerprint, /^sha256:[0-9a-f]{64}$/);
  assert.equal((await project.run(["outputs", "endpoint"])).stdout, `${endpoint}\n`);
  assert.match((await project.run(["outputs"])).stdout, new RegExp(`publicKeyFingerprint +${fingerprint}`));
});

test("request sends an encrypted GET and an encrypted POST with a file", async () => {
  const hello = await project.run(["request", "GET", "/hello"]);
  assert.deepEqual([hello.exitCode, hello.stdout], [0, "Hello from behind the Polaris Secure Proxy!\n"]);
  const body = Buffer.from(Array.from({ length: 4096 }, (_, index) => index % 256));
  await writeFile(join(project.dir, "file"), body);
  const echo = await project.run(["request", "POST", "/echo", "--data", "@file", "-o", "answer"]);
  assert.equal(echo.exitCode, 0, echo.stderr);
  assert.deepEqual(await readFile(join(project.dir, "answer")), body);
});

test("a request in the clear is refused by the proxy", async () => {
  const response = await fetch(`${endpoint}/hello`);
  assert.equal(response.status, 400);
  assert.equal(response.headers.get("polaris-error"), "ENCRYPTION_REQUIRED");
});

test("verify passes every check and says that it is simulated", async () => {
  const document = await project.json(["verify"]);
  assert.equal(document.error, null);
  assert.equal(document.data.simulated, true);
  assert.equal(document.data.publicKeyFingerprint, fingerprint);
  assert.deepEqual(
    document.data.checks.filter((check: { ok: boolean }) => !check.ok),
    [],
  );
});

test("a simulated TEE at a bare URL is refused unless it is allowed", async () => {
  const refused = await project.json(["verify", endpoint]);
  assert.equal(refused.error?.code, "VERIFICATION_FAILED");
  assert.equal(refused.error?.exitCode, 10);
  assert.deepEqual(refused.error?.details.failed, ["tee"]);
  assert.equal((await project.run(["verify", endpoint, "--allow-simulated"])).exitCode, 0);
});

test("status shows every part running", async () => {
  const document = await project.json(["status"]);
  assert.equal(document.data.healthy, true);
  assert.deepEqual(
    document.data.parts.map((part: { part: string; state: string }) => `${part.part} ${part.state}`),
    ["trust running", "token-agent running", "workload running", "proxy running"],
  );
});

test("logs shows what workload and proxy wrote, and follows until it is stopped", async () => {
  const once = await project.run(["logs", "--part", "workload"]);
  assert.match(once.stdout, /^listening on 127\.0\.0\.1:\d+$/m);
  const following = project.start(["logs", "-f", "--part", "proxy", "--tail", "0"]);
  const printed = following.output(/"event":"request"/);
  assert.equal((await project.run(["request", "GET", "/hello"])).exitCode, 0);
  await printed;
  following.child.kill("SIGINT");
  assert.equal((await following.finished).exitCode, 0);
});

test("preview shows no change, and deploying again changes nothing", async () => {
  const preview = await project.run(["preview", "--expect-no-changes"]);
  assert.equal(preview.exitCode, 0, preview.stdout);
  const before = await processesOf(project.dir);
  const again = await project.json(["deploy", "--yes"]);
  assert.equal(again.ok, true);
  assert.equal(again.data.endpoint, endpoint);
  assert.equal(again.data.publicKeyFingerprint, fingerprint);
  assert.deepEqual(await processesOf(project.dir), before);
});

test("preview tells a changed workload from an unchanged one, and changes nothing itself", async () => {
  const server = join(project.dir, "server.js");
  const text = await readFile(server, "utf8");
  await writeFile(server, text.replace("Hello from", "Bonjour from"));
  const preview = await project.json(["preview", "--expect-no-changes"]);
  assert.equal(preview.error?.code, "UNEXPECTED_CHANGES");
  assert.equal(preview.error?.exitCode, 7);
  const actions = Object.fromEntries(
    preview.data.changes.map((change: { part: string; action: string }) => [change.part, change.action]),
  );
  assert.deepEqual([actions["workload"], actions["trust"]], ["replace", "same"]);
  const locked = await project.json(["deploy", "--yes", "--locked"]);
  assert.equal(locked.error?.code, "LOCK_FILE_STALE");
  const deployed = await project.json(["deploy", "--yes"]);
  assert.equal(deployed.data.publicKeyFingerprint, fingerprint);
  assert.match((await project.run(["request", "GET", "/hello"])).stdout, /^Bonjour from/);
});

test("destroy keeps the key and says where; deploy uses it again", async () => {
  const destroyed = await project.run(["destroy", "--yes"]);
  assert.equal(destroyed.exitCode, 0, destroyed.stderr);
  const kept = join(project.dir, ".polaris", "default", "trust");
  assert.ok(destroyed.stderr.includes(kept), destroyed.stderr);
  assert.equal((await stat(kept)).mode & 0o777, 0o700);
  assert.deepEqual(await processesOf(project.dir), []);
  const status = await project.json(["status"]);
  assert.equal(status.error?.code, "STACK_NOT_FOUND");
  assert.equal(status.error?.exitCode, 6);
  const again = await project.json(["deploy", "--yes"]);
  assert.equal(again.data.publicKeyFingerprint, fingerprint);
});

test("destroying the key needs the stack's name, and leaves nothing", async () => {
  const unnamed = await project.json(["destroy", "--yes", "--destroy-key"]);
  assert.equal(unnamed.error?.code, "CONFIRMATION_REQUIRED");
  const wrong = await project.json(["destroy", "--yes", "--destroy-key", "--confirm", "other"]);
  assert.equal(wrong.error?.code, "CONFIRMATION_REQUIRED");
  assert.equal((await project.json(["status"])).data.healthy, true);
  const destroyed = await project.json(["destroy", "--yes", "--destroy-key", "--confirm", "default"]);
  assert.equal(destroyed.data.keyDestroyed, true);
  assert.equal(existsSync(join(project.dir, ".polaris", "default")), false);
  assert.deepEqual(await processesOf(project.dir), []);
  const renewed = await project.json(["deploy", "--yes"]);
  assert.notEqual(renewed.data.publicKeyFingerprint, fingerprint);
});
