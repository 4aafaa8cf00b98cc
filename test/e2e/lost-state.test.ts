import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile, rm, symlink } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { processesOf, startPolaris, TestProject } from "../polaris-process.ts";
import type { JsonDocument } from "../polaris-process.ts";

const onLinux = { skip: process.platform !== "linux" && "processes are found by their mark only on Linux" };

async function deployProject(
  t: TestContext,
  files: Readonly<Record<string, string>> = {},
): Promise<{ project: TestProject; deployed: JsonDocument }> {
  const project = await TestProject.create(files);
  t.after(() => project.remove());
  const deployed = await project.json(["deploy", "--yes"]);
  assert.equal(deployed.ok, true, deployed.error?.message ?? "");
  return { project, deployed };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

test("a stack whose .polaris was removed while it ran is reported, mended and ended", onLinux, async (t) => {
  const port = await freePort();
  const { project, deployed } = await deployProject(t, {
    "polaris.yaml": `version: 1
name: hello
target: local
proxy: { port: ${port} }
targets:
  local:
    run: [node, server.js]
`,
  });
  assert.equal(deployed.data.endpoint, `http://127.0.0.1:${port}`);
  const home = join(project.dir, ".polaris");

  await rm(home, { recursive: true });
  const status = await project.json(["status"]);
  assert.equal(status.error?.code, "STATE_CORRUPT");
  assert.equal(status.error?.hint, "polaris destroy ends them, polaris deploy puts the stack in order");
  assert.equal(existsSync(home), false);

  // The fixed port is held by the lost proxy: that is no stranger.
  const again = await project.json(["deploy", "--yes"]);
  assert.equal(again.ok, true, again.error?.message ?? "");
  assert.deepEqual(again.warnings, []);
  assert.equal(again.data.endpoint, deployed.data.endpoint);
  assert.equal((await processesOf(project.dir)).length, 8);

  const agent = JSON.parse(await readFile(join(home, "default/token-agent.json"), "utf8"));
  assert.equal(existsSync(agent.socketPath), true);
  await rm(home, { recursive: true });
  const destroyed = await project.json(["destroy", "--yes"]);
  assert.equal(destroyed.ok, true, destroyed.error?.message ?? "");
  assert.deepEqual(await processesOf(project.dir), []);
  assert.equal(existsSync(join(home, "default")), false);
  assert.equal(existsSync(dirname(agent.socketPath)), false);
  assert.equal((await project.run(["destroy", "--yes"])).exitCode, 6);
});

test("kill -9 of every runner moves no port and warns of nobody", onLinux, async (t) => {
  const { project, deployed } = await deployProject(t);
  for (const part of ["trust", "token-agent", "workload", "proxy"]) {
    const record = JSON.parse(
      await readFile(join(project.dir, ".polaris/default/run", `${part}.json`), "utf8"),
    );
    process.kill(record.runner.pid, "SIGKILL");
  }
  const again = await project.json(["deploy", "--yes"]);
  assert.equal(again.ok, true, again.error?.message ?? "");
  assert.deepEqual(again.warnings, []);
  assert.equal(again.data.endpoint, deployed.data.endpoint);
  assert.equal(again.data.publicKeyFingerprint, deployed.data.publicKeyFingerprint);
  assert.equal((await processesOf(project.dir)).length, 8);
});

test("through a link to the project folder it is the same stack", async (t) => {
  const { project, deployed } = await deployProject(t);
  const link = `${project.dir}-link`;
  await symlink(project.dir, link);
  t.after(() => rm(link, { force: true }));
  const { exitCode, stdout, stderr } = await startPolaris(["preview", "--json", "-C", link], project.dir)
    .finished;
  assert.equal(exitCode, 0, stderr);
  const preview = JSON.parse(stdout) as JsonDocument;
  assert.deepEqual(
    preview.data.changes.filter((change: { action: string }) => change.action !== "same"),
    [],
  );
  const destroyed = await startPolaris(["destroy", "--yes", "-C", link], project.dir).finished;
  assert.equal(destroyed.exitCode, 0, destroyed.stderr);
  assert.deepEqual(await processesOf(project.dir), []);
  assert.equal(deployed.ok, true);
});
