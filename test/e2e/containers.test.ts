import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { TestContext } from "node:test";
import { openLayout } from "@polaris-cvm/images/layout.ts";
import { OCI_MANIFEST } from "@polaris-cvm/images/manifest.ts";
import { pushImage } from "@polaris-cvm/images/push-image.ts";
import { createRegistryClient } from "@polaris-cvm/images/registry/registry-client.ts";
import { loadLockFile, saveLockFile } from "../../stacks/src/lock-file/file.ts";
import { makeBaseLayout } from "../../images/testing/base-layout.ts";
import { createHelloImage } from "../../images/testing/hello-image.ts";
import { REGISTRY_MISSING, startRegistry } from "../../images/testing/registry-fixture.ts";
import type { RunningRegistry } from "../../images/testing/registry-fixture.ts";
import { ENGINE_MISSING, startEngine } from "../container-engine.ts";
import type { TestEngine } from "../container-engine.ts";
import { processesOf, TestProject } from "../polaris-process.ts";

const SECRET = "planted-hunter2";

let missing: string | false = ENGINE_MISSING || REGISTRY_MISSING;
let engine: TestEngine;
let registry: RunningRegistry;
let project: TestProject;
let env: Readonly<Record<string, string>>;
/** Of the workload's image: its id in the engine is that of its configuration. */
let workloadDigest: string;
let endpoint: string;

before(async () => {
  if (missing !== false) return;
  const started = await startEngine();
  if (typeof started === "string") {
    missing = started;
    return;
  }
  engine = started;
  registry = await startRegistry();
  env = { DOCKER_HOST: engine.host, SECRET_OF_DEPLOYER: SECRET };
  project = await TestProject.create({
    "polaris.yaml": `
version: 1
name: hello
target: local
workload:
  image: ${registry.host}/hello:1
  health: { path: /healthz, timeout: 30s }
  env: { GREETING: "a, b = c" }
  secrets: { PASSWORD: { fromEnv: SECRET_OF_DEPLOYER } }
proxy:
  encryption: { requests: required, responses: required }
`,
  });
  await pushImages();
});

after(async () => {
  if (missing !== false) return;
  await project.run(["destroy", "--yes"], env);
  await rm(project.dir, { recursive: true, force: true });
  await registry.stop();
  await engine.stop();
});

/** The workload's image, and the base that the proxy's is built on, which the lock pins as if it had been used before. */
async function pushImages(): Promise<void> {
  const signal = AbortSignal.timeout(60_000);
  const client = createRegistryClient();
  const base = await openLayout(await makeBaseLayout());
  const hello = await createHelloImage(base, signal);
  workloadDigest = hello.manifest.digest;
  for (const [image, repository, tag] of [
    [base, "node", "26-slim"],
    [hello, "hello", "1"],
  ] as const) {
    await pushImage(image, {
      registry: client,
      repository: { registry: registry.host, repository },
      tag,
      mountFrom: "node",
      signal,
      onProgress: () => undefined,
    });
  }
  await client.close();
  assert.equal((await project.run(["lock"])).exitCode, 0);
  const path = join(project.dir, "polaris.lock");
  const lock = await loadLockFile(path);
  assert.ok(lock !== undefined);
  const { digest } = base.manifest;
  await saveLockFile(path, {
    ...lock,
    pins: {
      base: {
        reference: `${registry.host}/node:26-slim`,
        digest,
        mediaType: OCI_MANIFEST,
        platformDigest: digest,
        platformMediaType: OCI_MANIFEST,
      },
    },
  });
}

function step(name: string, run: (t: TestContext) => Promise<void>): void {
  test(name, async (t) => {
    if (missing !== false) return t.skip(missing);
    await run(t);
  });
}

/** The container of a part, as the engine describes it. */
async function inspect(part: string) {
  const id = await engine.docker("ps", "--quiet", "--filter", `label=polaris.part=${part}`);
  assert.match(id, /^[0-9a-f]{12}$/, `one container of ${part}`);
  // oxlint-disable-next-line typescript/no-explicit-any
  return (JSON.parse(await engine.docker("inspect", id)) as any[])[0];
}

/** What a few lines of JavaScript print in a part's container. */
async function evaluateIn(part: string, code: string): Promise<string> {
  return await engine.docker("exec", (await inspect(part)).Id as string, "node", "-e", code);
}

step("deploy runs workload and proxy as containers, and verifies the endpoint", async () => {
  const { exitCode, stdout, stderr } = await project.run(["deploy", "--yes"], env);
  assert.equal(exitCode, 0, stderr);
  endpoint = stdout.trim();
  assert.match(stderr, /✓ verified \(SIMULATED/);
  const { data } = await project.json(["status"], env);
  assert.deepEqual(
    data.parts.map((part: { part: string; state: string }) => `${part.part} ${part.state}`),
    ["trust running", "token-agent running", "workload running", "proxy running"],
  );
});

step("a sealed request gets its answer from the workload's container", async () => {
  const hello = await project.run(["request", "GET", "/hello"], env);
  assert.deepEqual([hello.exitCode, hello.stdout], [0, "Hello from behind the Polaris Secure Proxy!\n"]);
  assert.equal((await fetch(`${endpoint}/hello`)).headers.get("polaris-error"), "ENCRYPTION_REQUIRED");
  assert.match(
    (await project.run(["logs", "--part", "workload"], env)).stdout,
    /listening on 0\.0\.0\.0:8000/,
  );
});

step("what runs is what the lock names, by its digest", async () => {
  const workload = await inspect("workload");
  assert.equal(workload.Config.Image, `${registry.host}/hello@${workloadDigest}`);
  const lock = JSON.parse(await readFile(join(project.dir, "polaris.lock"), "utf8"));
  assert.equal(lock.deployed.default.workload, workloadDigest);
});

step(
  "only the proxy's port is published, on loopback; the proxy is not root, and its root is read-only",
  async () => {
    const [workload, proxy] = [await inspect("workload"), await inspect("proxy")];
    const { port } = new URL(endpoint);
    assert.deepEqual(proxy.HostConfig.PortBindings, {
      "3000/tcp": [{ HostIp: "127.0.0.1", HostPort: port }],
    });
    assert.deepEqual(workload.HostConfig.PortBindings ?? {}, {});
    for (const container of [workload, proxy]) {
      assert.deepEqual(container.HostConfig.CapDrop, ["ALL"]);
      assert.deepEqual(container.HostConfig.SecurityOpt, ["no-new-privileges"]);
      assert.equal(container.HostConfig.Privileged, false);
    }
    assert.equal(proxy.HostConfig.ReadonlyRootfs, true);
    assert.deepEqual(
      proxy.Mounts.map(
        (mount: { Destination: string; RW: boolean }) => `${mount.Destination} ${mount.RW}`,
      ).toSorted(),
      ["/run/polaris-local/services false", "/run/polaris-local/token false"],
    );
    assert.deepEqual(workload.Mounts, []);
    const written = await evaluateIn(
      "proxy",
      `const { writeFileSync } = require("node:fs");
     const tell = (path) => { try { writeFileSync(path, ""); return "written"; } catch (error) { return error.code; } };
     console.log(process.getuid(), tell("/x"), tell("/tmp/x"), tell("/run/polaris-local/services/x"));`,
    );
    assert.equal(written, "65532 EROFS EROFS EROFS");
  },
);

step("the workload reaches neither this machine nor what is behind it, and the proxy does", async (t) => {
  const server = createServer((_request, response) => response.end("reached")).listen(0, "0.0.0.0");
  await once(server, "listening");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const gateways = Object.values(
    (await inspect("proxy")).NetworkSettings.Networks as Record<string, { Gateway: string }>,
  ).map(({ Gateway }) => Gateway);
  const code = `Promise.all(${JSON.stringify(gateways)}.filter(Boolean).map((host) =>
    fetch("http://" + host + ":${port}/", { signal: AbortSignal.timeout(2000) })
      .then((answer) => answer.text(), () => "no way")))
    .then((all) => console.log([...new Set(all)].sort().join(",")))`;
  assert.equal(await evaluateIn("workload", code), "no way");
  assert.match(await evaluateIn("proxy", code), /reached/);
});

step("the workload has its variables and secrets, and no file or command line has a secret", async () => {
  const told = await evaluateIn(
    "workload",
    "console.log(process.env.GREETING, process.env.PASSWORD, process.getuid())",
  );
  assert.equal(told, `a, b = c ${SECRET} 1000`);
  for (const file of ["workload.json", "proxy.json"]) {
    const text = await readFile(join(project.dir, ".polaris/default/containers", file), "utf8");
    assert.ok(!text.includes(SECRET));
  }
  for (const pid of await processesOf(project.dir)) {
    const commandLine = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    assert.ok(!commandLine.includes(SECRET), commandLine);
  }
});

step("preview shows no change, and deploying again changes no container", async () => {
  const preview = await project.run(["preview", "--expect-no-changes"], env);
  assert.equal(preview.exitCode, 0, preview.stdout);
  const containers = await engine.docker("ps", "--all", "--quiet");
  const again = await project.json(["deploy", "--yes"], env);
  assert.equal(again.data?.endpoint, endpoint, JSON.stringify(again.error));
  assert.equal(await engine.docker("ps", "--all", "--quiet"), containers);
});

step(
  "containers that have lost their processes, and one that was ended, are replaced by the next deploy",
  async () => {
    const before = [(await inspect("workload")).Id, (await inspect("proxy")).Id];
    await engine.docker("kill", before[0] as string);
    for (const pid of await processesOf(project.dir)) {
      const environment = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "");
      if (environment.includes("POLARIS_LAUNCH_ID=proxy.")) process.kill(pid, "SIGKILL");
    }
    // Nobody looks after it, and it holds the endpoint's port.
    assert.equal((await fetch(`${endpoint}/polaris-container/health`)).status, 200);
    const broken = await project.json(["status"], env);
    assert.equal(broken.data.healthy, false);
    const healed = await project.json(["deploy", "--yes"], env);
    assert.equal(healed.data?.endpoint, endpoint, JSON.stringify(healed.error));
    assert.deepEqual(healed.warnings, []);
    const after = [(await inspect("workload")).Id, (await inspect("proxy")).Id];
    assert.equal(new Set([...before, ...after]).size, 4);
    assert.equal((await engine.docker("ps", "--all", "--quiet")).split("\n").length, 2);
    assert.equal((await project.run(["request", "GET", "/hello"], env)).exitCode, 0);
  },
);

step(
  "a workload that ends at once is told with its exit code and last words, and leaves no container",
  async () => {
    const config = join(project.dir, "polaris.yaml");
    const text = await readFile(config, "utf8");
    const entrypoint = `entrypoint: [node, -e, "console.log('bye'); process.exit(3)"]`;
    await writeFile(config, text.replace("workload:", `workload:\n  ${entrypoint}`));
    const failed = await project.json(["deploy", "--yes"], env);
    assert.equal(failed.error?.code, "WORKLOAD_EXITED");
    assert.equal(failed.error.details.exitCode, 3);
    assert.ok(failed.error.details.lastLines.includes("bye"), JSON.stringify(failed.error.details));
    assert.equal(
      await engine.docker("ps", "--all", "--quiet", "--filter", "label=polaris.part=workload"),
      "",
    );
    await writeFile(config, text);
  },
);

step("a deploy that is to be as locked refuses a base that the lock does not name", async () => {
  const path = join(project.dir, "polaris.lock");
  const { pins, ...lock } = (await loadLockFile(path)) ?? assert.fail("no lock");
  await saveLockFile(path, lock);
  const refused = await project.json(["deploy", "--yes", "--locked"], env);
  assert.equal(refused.error?.code, "IMAGE_NOT_LOCKED");
  assert.equal(refused.error.exitCode, 5);
  await saveLockFile(path, { ...lock, ...(pins !== undefined && { pins }) });
});

step("without an engine a deploy says what to do, and exits with 13", async () => {
  const refused = await project.json(["deploy", "--yes"], {
    ...env,
    DOCKER_HOST: "unix:///nonexistent.sock",
  });
  assert.equal(refused.error?.code, "CONTAINER_ENGINE_UNAVAILABLE");
  assert.equal(refused.error?.exitCode, 13);
});

step("destroy leaves no container, network or process, even of a stack whose state is lost", async () => {
  await rm(join(project.dir, ".polaris/default/stack.json"));
  const { exitCode, stderr } = await project.run(["destroy", "--yes"], env);
  assert.equal(exitCode, 0, stderr);
  assert.equal(await engine.docker("ps", "--all", "--quiet"), "");
  assert.equal(await engine.docker("network", "ls", "--quiet", "--filter", "label=polaris.stack"), "");
  assert.deepEqual(await processesOf(project.dir), []);
});
