import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { DEFAULT_BASE_IMAGE } from "@polaris-cvm/images/base-image.ts";
import proxyPackage from "../../proxy/package.json" with { type: "json" };
import { processesOf, startPolaris, TestProject } from "../polaris-process.ts";

async function createProject(
  context: TestContext,
  files: Readonly<Record<string, string>> = {},
): Promise<TestProject> {
  const project = await TestProject.create(files);
  context.after(() => project.remove());
  return project;
}

const WORKLOAD = (run: string, more = ""): string =>
  `version: 1\nname: bad\n${more}workload: { health: { path: /healthz, timeout: 20s } }\ntargets: { local: { run: ${run} } }\n`;

test("a folder without polaris.yaml is a usage error with a way out", async (context) => {
  const dir = await mkdtemp(join(tmpdir(), "polaris-empty-"));
  context.after(() => rm(dir, { recursive: true }));
  const { exitCode, stdout, stderr } = await startPolaris(["deploy", "--yes"], dir).finished;
  assert.equal(exitCode, 2);
  assert.equal(stdout, "");
  assert.match(stderr, /polaris: error: .*polaris\.yaml/);
  assert.match(stderr, /polaris: hint: .*polaris init/);
});

test("an unknown key is named with line, column and the nearest known key", async (context) => {
  const project = await createProject(context, { "polaris.yaml": "version: 1\nname: bad\nworklaod: {}\n" });
  const document = await project.json(["deploy", "--yes"]);
  assert.equal(document.error?.code, "CONFIG_INVALID");
  assert.equal(document.error?.exitCode, 2);
  assert.match(document.error?.message ?? "", /polaris\.yaml:3:1: .*"worklaod".*did you mean "workload"/);
  const problem = document.error?.details.problems.find((found: { line: number }) => found.line === 3);
  assert.equal(problem.column, 1);
});

test("a YAML syntax error has line and column", async (context) => {
  const project = await createProject(context, { "polaris.yaml": "version: 1\nname: [bad\n" });
  const document = await project.json(["config", "validate"]);
  assert.equal(document.error?.code, "CONFIG_SYNTAX");
  assert.match(document.error?.message ?? "", /polaris\.yaml:\d+:\d+/);
});

test("an image that is not in the lock is refused, and no registry is asked", async (context) => {
  const project = await createProject(context, {
    // Nobody listens there: whoever asked it would be told so.
    "polaris.yaml": "version: 1\nname: bad\nworkload: { image: '127.0.0.1:1/acme/hello:1' }\n",
  });
  for (const command of [["deploy", "--yes"], ["deploy"], ["deploy", "--locked"], ["preview"]]) {
    const document = await project.json(command);
    assert.equal(document.error?.code, "IMAGE_NOT_LOCKED", command.join(" "));
    assert.equal(document.error?.exitCode, 5);
    assert.match(document.error?.hint ?? "", /polaris lock/);
  }
  const check = await project.json(["lock", "--check"]);
  assert.equal(check.error?.code, "LOCK_FILE_STALE");
  assert.deepEqual(
    check.data.changes.map(({ field, to }: { field: string; to: string }) => [field, to]),
    [
      ["workload.reference", "127.0.0.1:1/acme/hello:1"],
      ["pins.base.reference", DEFAULT_BASE_IMAGE],
      ["proxy.version", proxyPackage.version],
    ],
  );
});

test("a target that nothing can be deployed to yet is refused by its name", async (context) => {
  const gcp = "workload: { image: a }\ntargets: { gcp: { project: my-project, zone: europe-west4-a } }\n";
  for (const [target, more] of [
    ["azure", ""],
    ["gcp", gcp],
  ] as const) {
    const project = await createProject(context, {
      "polaris.yaml": `version: 1\nname: bad\ntarget: ${target}\n${more}`,
    });
    const document = await project.json(["deploy", "--yes"]);
    assert.equal(document.error?.code, "TARGET_NOT_AVAILABLE");
    assert.ok(document.error?.message.includes(target), document.error?.message);
  }
});

test("a port that is asked for and taken is refused before anything starts", async (context) => {
  const stranger = createServer().listen(0, "127.0.0.1");
  await once(stranger, "listening");
  context.after(() => stranger.close());
  const { port } = stranger.address() as AddressInfo;
  const project = await createProject(context, {
    "polaris.yaml": WORKLOAD("[node, server.js]", `proxy: { port: ${port} }\n`),
  });
  const document = await project.json(["deploy", "--yes"]);
  assert.equal(document.error?.code, "PORT_TAKEN");
  assert.equal(document.error?.exitCode, 13);
  assert.match(document.error?.message ?? "", new RegExp(String(port)));
  assert.deepEqual(await processesOf(project.dir), []);
});

test("a secret that is not in the environment is named, and nothing starts", async (context) => {
  const project = await createProject(context, {
    "polaris.yaml":
      "version: 1\nname: bad\nworkload: { secrets: { API_KEY: { fromEnv: NOT_THERE } } }\ntargets: { local: { run: [node, server.js] } }\n",
  });
  const document = await project.json(["deploy", "--yes"]);
  assert.equal(document.error?.code, "SECRET_MISSING");
  assert.match(document.error?.message ?? "", /NOT_THERE/);
  assert.deepEqual(await processesOf(project.dir), []);
});

test("a workload that exits at once fails the deploy at once, with its last lines", async (context) => {
  const project = await createProject(context, {
    "polaris.yaml": WORKLOAD("[node, server.js]").replace("20s", "10m"),
    "server.js": 'console.error("no database at db:5432"); process.exit(3);\n',
  });
  const document = await project.json(["deploy", "--yes"]);
  assert.equal(document.error?.code, "WORKLOAD_EXITED");
  assert.equal(document.error?.exitCode, 11);
  assert.equal(document.error?.details.exitCode, 3);
  assert.deepEqual(document.error?.details.lastLines, ["no database at db:5432"]);
  const status = await project.json(["status"]);
  assert.equal(status.error?.exitCode, 11);
  const workload = status.data.parts.find((part: { part: string }) => part.part === "workload");
  assert.equal(workload.state, "exited");
  assert.match(workload.detail, /exit code 3/);
});

test("a program that is not there fails the deploy like one that exits", async (context) => {
  const project = await createProject(context, { "polaris.yaml": WORKLOAD("[no-such-program]") });
  const document = await project.json(["deploy", "--yes"]);
  assert.equal(document.error?.code, "WORKLOAD_EXITED");
  assert.match(JSON.stringify(document.error?.details), /no-such-program/);
});

test("a workload that never gets well fails after its own timeout", async (context) => {
  const project = await createProject(context, {
    "polaris.yaml": WORKLOAD("[node, server.js]").replace("20s", "1s"),
    "server.js":
      'require("node:http").createServer((q, r) => { r.statusCode = 500; r.end(); }).listen(process.env.PORT, process.env.HOST);\n',
  });
  const document = await project.json(["deploy", "--yes"]);
  assert.equal(document.error?.code, "WORKLOAD_UNHEALTHY");
  assert.equal(document.error?.exitCode, 11);
});

test("the second of two deploys exits 12 at once and says who holds the stack since when", async (context) => {
  const project = await createProject(context, {
    // Never well: the first deploy holds the stack until it is told to stop.
    "polaris.yaml": WORKLOAD("[node, server.js]").replace("20s", "5m"),
    "server.js": "setInterval(() => {}, 1000);\n",
  });
  const first = project.start(["deploy", "--yes"]);
  await first.output(/workload +starting/);
  const second = await project.json(["deploy", "--yes"]);
  assert.equal(second.error?.code, "STACK_LOCKED");
  assert.equal(second.error?.exitCode, 12);
  assert.match(second.error?.message ?? "", new RegExp(`polaris deploy.*${first.child.pid}.*since \\d{4}-`));
  first.child.kill("SIGINT");
  const cancelled = await first.finished;
  assert.equal(cancelled.exitCode, 8, cancelled.stderr);
  assert.match(cancelled.stderr, /hint: its state is consistent/);
  assert.equal((await project.run(["destroy", "--yes"])).exitCode, 0);
  assert.deepEqual(await processesOf(project.dir), []);
});

test("a corrupted state file is named, and destroy still gets to the end with the key kept", async (context) => {
  const project = await createProject(context);
  const before = await project.json(["deploy", "--yes"]);
  await writeFile(join(project.dir, ".polaris/default/stack.json"), "{ half a fi");
  const status = await project.json(["status"]);
  assert.equal(status.error?.code, "STATE_CORRUPT");
  assert.match(status.error?.message ?? "", /stack\.json/);
  assert.equal((await project.run(["destroy", "--yes"])).exitCode, 0);
  assert.deepEqual(await processesOf(project.dir), []);
  const after = await project.json(["deploy", "--yes"]);
  assert.equal(after.data.publicKeyFingerprint, before.data.publicKeyFingerprint);
});

test("a corrupted polaris.lock is named and not overwritten", async (context) => {
  const project = await createProject(context, { "polaris.lock": "{}" });
  const document = await project.json(["deploy", "--yes"]);
  assert.equal(document.error?.code, "LOCK_FILE_CORRUPT");
  assert.equal(await readFile(join(project.dir, "polaris.lock"), "utf8"), "{}");
});

test("a corrupted key is not replaced by a new one", async (context) => {
  const project = await createProject(context);
  assert.equal((await project.run(["deploy", "--yes"])).exitCode, 0);
  assert.equal((await project.run(["destroy", "--yes"])).exitCode, 0);
  const key = (await listFiles(join(project.dir, ".polaris/default/trust"))).find((path) =>
    path.endsWith("/1.pem"),
  );
  assert.ok(key !== undefined);
  await writeFile(key, "not a key");
  const document = await project.json(["deploy", "--yes"]);
  assert.equal(document.error?.code, "PART_FAILED");
  assert.equal(await readFile(key, "utf8"), "not a key");
});

test("killed trust services are seen by status and mended by deploy, with the same key", async (context) => {
  const project = await createProject(context);
  const before = await project.json(["deploy", "--yes"]);
  const status = await project.json(["status"]);
  const trust = status.data.parts.find((part: { part: string }) => part.part === "trust");
  process.kill(trust.pid, "SIGKILL");
  const broken = await untilUnhealthy(project);
  assert.equal(broken.error?.exitCode, 11);
  assert.equal((await project.json(["preview", "--expect-no-changes"])).error?.code, "UNEXPECTED_CHANGES");
  const after = await project.json(["deploy", "--yes"]);
  assert.equal(after.ok, true, after.error?.message ?? "");
  assert.equal(after.data.publicKeyFingerprint, before.data.publicKeyFingerprint);
  assert.equal((await project.run(["request", "GET", "/hello"])).exitCode, 0);
});

test("a request to a stack whose proxy is gone says where to look", async (context) => {
  const project = await createProject(context);
  await project.json(["deploy", "--yes"]);
  const status = await project.json(["status"]);
  const proxy = status.data.parts.find((part: { part: string }) => part.part === "proxy");
  process.kill(proxy.pid, "SIGKILL");
  await untilUnhealthy(project);
  const { error } = await project.json(["request", "GET", "/hello"]);
  assert.equal(error?.code, "ENDPOINT_UNREACHABLE");
  assert.match(error?.hint ?? "", /; polaris status shows how it is$/);
  // Of a URL nobody knows more than that.
  const named = await project.json(["request", "GET", `${status.data.endpoint}/hello`, "--allow-simulated"]);
  assert.equal(named.error?.code, "ENDPOINT_UNREACHABLE");
  assert.doesNotMatch(named.error?.hint ?? "", /status/);
});

test("nobody is asked where there is nobody: deploy without --yes changes nothing", async (context) => {
  const project = await createProject(context);
  const { exitCode, stderr } = await project.run(["deploy"]);
  assert.equal(exitCode, 2);
  assert.match(stderr, /--yes/);
  assert.deepEqual(await processesOf(project.dir), []);
});

test("an unknown command and an unknown flag are usage errors", async (context) => {
  const project = await createProject(context);
  assert.equal((await project.run(["depoly"])).exitCode, 2);
  assert.equal((await project.run(["deploy", "--yess"])).exitCode, 2);
  assert.equal((await project.run(["--help"])).exitCode, 0);
});

test("a full disk stops the deploy with a clear error, and the next one goes on", async (context) => {
  const dir = await mkdtemp(join(tmpdir(), "polaris-full-"));
  const mounted = await succeeds("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", dir]);
  context.after(async () => {
    await succeeds("umount", ["-l", dir]);
    await rm(dir, { recursive: true, force: true });
  });
  if (!mounted) {
    context.skip("cannot mount a small file system here");
    return;
  }
  const project = await createProject(context);
  for (const file of ["polaris.yaml", "server.js"]) {
    await writeFile(join(dir, file), await readFile(join(project.dir, file)));
  }
  await writeFile(join(dir, "filler"), Buffer.alloc(300 * 1024)).catch(() => undefined);
  const full = startPolaris(["deploy", "--yes", "--json"], dir);
  const document = JSON.parse((await full.finished).stdout) as { error: { code: string } };
  assert.equal(document.error.code, "STATE_UNWRITABLE");
  assert.deepEqual(await processesOf(dir), []);
});

async function untilUnhealthy(project: TestProject): Promise<Awaited<ReturnType<TestProject["json"]>>> {
  for (;;) {
    const status = await project.json(["status"]);
    if (!status.ok) return status;
  }
}

async function listFiles(dir: string): Promise<string[]> {
  const { readdir } = await import("node:fs/promises");
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

async function succeeds(command: string, args: readonly string[]): Promise<boolean> {
  const child = spawn(command, [...args], { stdio: "ignore" });
  return new Promise((resolve) => {
    child.once("error", () => resolve(false));
    child.once("close", (code) => resolve(code === 0));
  });
}
