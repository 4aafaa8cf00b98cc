import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before } from "node:test";
import { loadLockFile, saveLockFile } from "../../stacks/src/lock-file/file.ts";
import type { TestEngine } from "../container-engine.ts";
import { createSteps, startEngineAndRegistry } from "../engine-and-registry.ts";
import type { EngineAndRegistry } from "../engine-and-registry.ts";
import { processesOf, TestProject } from "../polaris-process.ts";

const SECRET = "planted-hunter2";

let missing: string | false = false;
let started: EngineAndRegistry;
let engine: TestEngine;
let project: TestProject;
let env: Readonly<Record<string, string>>;
/** Of the workload's image: its id in the engine is that of its configuration. */
let workloadDigest: string;
let endpoint: string;

before(async () => {
  const answer = await startEngineAndRegistry();
  if (typeof answer === "string") {
    missing = answer;
    return;
  }
  started = answer;
  engine = started.engine;
  workloadDigest = started.hello.manifest.digest;
  env = { DOCKER_HOST: engine.host, SECRET_OF_DEPLOYER: SECRET };
  project = await TestProject.create({
    "polaris.yaml": `
version: 1
name: hello
target: local
targets: { local: { engine: docker } }
workload:
  image: ${started.registryHost}/hello:1
  health: { path: /healthz, timeout: 30s }
  env: { GREETING: "a, b = c" }
  secrets: { PASSWORD: { fromEnv: SECRET_OF_DEPLOYER } }
proxy:
  encryption: { requests: required, responses: required }
  workloadKeyApi: true
  base: ${started.registryHost}/node:26-slim
`,
  });
  const { exitCode, stderr } = await project.run(["lock"]);
  assert.equal(exitCode, 0, stderr);
});

after(async () => {
  if (missing !== false) return;
  await project.run(["destroy", "--yes"], env);
  await rm(project.dir, { recursive: true, force: true });
  await started.stop();
});

const step = createSteps(() => missing);

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

/** @returns what `polaris data seal` makes of a text, in base64 */
async function sealData(text: string, context: string): Promise<string> {
  await writeFile(join(project.dir, "clear"), text);
  const args = ["data", "seal", "clear", "--context", context, "--output", "sealed", "--force"];
  const { exitCode, stderr } = await project.run(args, env);
  assert.equal(exitCode, 0, stderr);
  return await readFile(join(project.dir, "sealed"), "base64");
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
  assert.equal(workload.Config.Image, `${started.registryHost}/hello@${workloadDigest}`);
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
      ["/run/polaris-local/services false", "/run/polaris-local/token false", "/run/polaris/key-api true"],
    );
    assert.deepEqual(
      workload.Mounts.map(
        (mount: { Destination: string; RW: boolean }) => `${mount.Destination} ${mount.RW}`,
      ),
      ["/run/polaris/key-api false"],
    );
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

step("the workload opens data that is sealed to the stack, whatever its user is", async () => {
  const sealed = await sealData("the data", "records/1");
  const id = (await inspect("workload")).Id as string;
  for (const user of ["1000:1000", "0:0", "4242:4242"]) {
    const program = ["node", "/app/open-data.js", sealed, "records/1"];
    assert.equal(await engine.docker("exec", "--user", user, id, ...program), "the data", user);
  }
  // The proxy's group may write in that folder, and even so the workload's mount of it is read-only.
  for (const user of ["0:0", "65532:65532"]) {
    const code = `const { unlinkSync, writeFileSync } = require("node:fs");
      const { dirname } = require("node:path");
      const socket = process.env.POLARIS_KEY_API_SOCKET;
      const tell = (change) => { try { change(); return "done"; } catch (error) { return error.code; } };
      console.log(tell(() => unlinkSync(socket)), tell(() => writeFileSync(dirname(socket) + "/x", "")));`;
    assert.equal(await engine.docker("exec", "--user", user, id, "node", "-e", code), "EROFS EROFS", user);
  }
});

step(
  "the key API is not at the endpoint, and another container in the workload's network has none",
  async () => {
    const question = JSON.stringify({ keyId: `sha256:${"0".repeat(64)}`, wrappedKey: "AA==" });
    // At the endpoint it is a path of the workload like any other, and this workload has nothing there.
    const asked = await project.run(["request", "POST", "/v1/data-keys:unwrap", "--data", question], env);
    assert.match(asked.stdout, /^try GET \/hello/);

    const { NetworkSettings, Config } = await inspect("workload");
    const [network = ""] = Object.keys(NetworkSettings.Networks as object);
    const stranger = engine.docker(
      "run",
      "--rm",
      "--network",
      network,
      "--env",
      "POLARIS_KEY_API_SOCKET=/run/polaris/key-api/key-api.sock",
      "--entrypoint",
      "node",
      Config.Image as string,
      "/app/open-data.js",
      await sealData("the data", ""),
    );
    await assert.rejects(stranger, /connect ENOENT \/run\/polaris\/key-api\/key-api\.sock/);
  },
);

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

step("what is not the image that the lock has is not used, and says so", async () => {
  const path = join(project.dir, "polaris.lock");
  const original = await readFile(path, "utf8");
  const { digest } = JSON.parse(original).stacks.default.proxy;
  await writeFile(path, original.replaceAll(digest, `sha256:${"0".repeat(64)}`));
  const refused = await project.json(["preview"], env);
  assert.equal(refused.error?.code, "IMAGE_DIGEST_MISMATCH", JSON.stringify(refused.error));
  await writeFile(path, original);
});

step("with the registry gone, a stack that has not changed is previewed and deployed as before", async () => {
  await started.stopRegistry();
  const preview = await project.run(["preview", "--expect-no-changes"], env);
  assert.equal(preview.exitCode, 0, preview.stdout + preview.stderr);
  const containers = await engine.docker("ps", "--all", "--quiet");
  const again = await project.json(["deploy", "--yes", "--locked"], env);
  assert.equal(again.data?.endpoint, endpoint, JSON.stringify(again.error));
  assert.equal(await engine.docker("ps", "--all", "--quiet"), containers);
  // Elsewhere, where nothing of the base is kept, it is missed.
  const elsewhere = { ...env, XDG_CACHE_HOME: join(project.dir, "empty") };
  assert.equal((await project.json(["preview"], elsewhere)).error?.code, "REGISTRY_UNREACHABLE");
});

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

step("a deploy refuses a base that the lock does not name, and writes none", async () => {
  const path = join(project.dir, "polaris.lock");
  const { pins, ...lock } = (await loadLockFile(path)) ?? assert.fail("no lock");
  await saveLockFile(path, lock);
  for (const flags of [["--locked"], []]) {
    const refused = await project.json(["deploy", "--yes", ...flags], env);
    assert.equal(refused.error?.code, "IMAGE_NOT_LOCKED");
    assert.equal(refused.error.exitCode, 5);
  }
  assert.equal((await loadLockFile(path))?.pins, undefined);
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
