/** The very command lines of the units, as systemd reads them, given to a real Docker. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import type { BootInputs } from "../../images/src/cos/boot-inputs.ts";
import { formatCloudConfig } from "../../images/src/cos/cloud-config.ts";
import { HOSTILE_SAMPLES } from "../../images/testing/hostile-text.ts";
import { readCloudConfig } from "../../images/testing/read-cloud-config.ts";
import type { ReadCloudConfig } from "../../images/testing/read-cloud-config.ts";
import { bootWith } from "../../images/testing/sample-boot.ts";
import { startEngineAndRegistry } from "../engine-and-registry.ts";
import type { EngineAndRegistry } from "../engine-and-registry.ts";
import { copyScripts } from "./boot-scripts.ts";
import { secretAnswer, startSecretServices } from "./secret-services.ts";
import { SYSTEMD_MISSING, readCommands, writeUnits } from "./systemd-reading.ts";

const run = promisify(execFile);

let world: EngineAndRegistry | string = "not started";
before(async () => {
  world = SYSTEMD_MISSING === false ? await startEngineAndRegistry() : SYSTEMD_MISSING;
});
after(async () => {
  if (typeof world === "string") return;
  // A daemon that ends leaves the bridges of its networks on the machine.
  await world.engine.docker("rm", "--force", "polaris-workload", "polaris-proxy").catch(() => "");
  await world.engine.docker("network", "rm", "polaris-inside", "polaris-outside").catch(() => "");
  await world.stop();
});

/** A machine's folders, in one of the test's, and its Docker. */
interface Machine {
  readonly folder: string;
  /** Makes a command line's paths of the machine those of the test, and starts it. */
  start(argv: readonly string[], environment?: Readonly<Record<string, string>>): Promise<string>;
  /** `Exec…` lines of a unit, as systemd reads them. */
  commands(unit: string): Promise<string[][]>;
}

async function startMachine(t: TestContext, engine: EngineAndRegistry, boot: BootInputs): Promise<Machine> {
  const config = readCloudConfig(formatCloudConfig(boot));
  const folder = await copyScripts(t, {});
  for (const name of ["agent", "tokens", "key-api", "secrets", "home"]) {
    await mkdir(join(folder, name));
    // Who may write is for the mounts to say here: the image of these tests runs as somebody else than the proxy's.
    await chmod(join(folder, name), 0o777);
  }
  const move = (text: string): string =>
    text.replace(/^(type=bind,source=|)\/(?:run|etc)\/polaris(?=[/,])/, `$1${folder}`);
  await writeFiles(config, folder);
  const units = await writeUnits(config);
  t.after(() => units[Symbol.asyncDispose]());
  const start: Machine["start"] = async ([, ...args], environment = {}) => {
    const env = {
      ...environment,
      PATH: process.env["PATH"] ?? "",
      HOME: join(folder, "home"),
      DOCKER_HOST: engine.engine.host,
    };
    const { stdout } = await run("docker", args.map(move), {
      env,
      timeout: 60_000,
      maxBuffer: 16 * 1024 * 1024,
    });
    return stdout;
  };
  const script = join(folder, "prepare-docker.sh");
  await writeFile(script, (await readFile(script, "utf8")).replaceAll("/run/polaris", folder));
  const prepare = ["bash", script, "polaris-inside", "polaris-outside"];
  // Twice, and both at the same time: each unit does it.
  await Promise.all(
    [1, 2].map(async () =>
      run("env", [`DOCKER_HOST=${engine.engine.host}`, ...prepare], { timeout: 60_000 }),
    ),
  );
  return { folder, start, commands: (unit) => readCommands(units, unit) };
}

/** What the containers and their clients read, where the test has it. */
async function writeFiles({ files }: ReadCloudConfig, folder: string): Promise<void> {
  for (const { path, text } of files.values()) {
    const name = /^\/(?:run|etc)\/polaris\/([a-z-]+\.(?:env|json))$/.exec(path)?.[1];
    if (name !== undefined) await writeFile(join(folder, name), text);
  }
}

const REPORT = "process.stdout.write(JSON.stringify({ argv: process.argv.slice(1), env: process.env }))";

test("a workload gets program, arguments, variables and secrets byte by byte", async (t) => {
  if (typeof world === "string") return t.skip(world);
  const image = `${world.registryHost}/node@${world.base.manifest.digest}`;
  const environment = Object.fromEntries(HOSTILE_SAMPLES.map((text, index) => [`V${index}`, text]));
  const boot = bootWith({
    proxy: { image },
    workload: { image, command: ["node", "-e", REPORT, "--", ...HOSTILE_SAMPLES], environment },
    others: { registryHosts: [] },
  });
  const machine = await startMachine(t, world, boot);
  const commands = await machine.commands("polaris-workload.service");
  const create = commands.find((argv) => argv[1] === "create") ?? [];
  const startAttached = commands.find((argv) => argv[1] === "start") ?? [];
  const secret = HOSTILE_SAMPLES[1] ?? "";
  await machine.start(create, { API_KEY: secret });
  const report = JSON.parse(await machine.start(startAttached)) as {
    readonly argv: string[];
    readonly env: Record<string, string>;
  };
  assert.deepEqual(report.argv, HOSTILE_SAMPLES);
  const given = Object.fromEntries(Object.keys(environment).map((name) => [name, report.env[name]]));
  assert.deepEqual(given, environment);
  assert.equal(report.env["API_KEY"], secret);

  const [found] = JSON.parse(await machine.start(["docker", "inspect", "polaris-workload"])) as [Inspected];
  assert.deepEqual(Object.keys(found.NetworkSettings.Networks), ["polaris-inside"]);
  assert.deepEqual(found.HostConfig.PortBindings, {});
  assert.deepEqual([found.HostConfig.CapDrop, found.HostConfig.Privileged], [["ALL"], false]);
  assert.deepEqual(found.HostConfig.RestartPolicy.Name, "no");
});

interface Inspected {
  readonly HostConfig: {
    readonly CapDrop: readonly string[];
    readonly Privileged: boolean;
    readonly ReadonlyRootfs: boolean;
    readonly PortBindings: Readonly<Record<string, unknown>>;
    readonly RestartPolicy: { readonly Name: string };
  };
  readonly NetworkSettings: { readonly Networks: Readonly<Record<string, unknown>> };
}

/** Says what it sees and may write; listens, so that it goes on. */
const PROXY_REPORT = `
const fs = require("node:fs");
const writes = (path) => { try { fs.writeFileSync(path, ""); return true; } catch { return false; } };
console.log(JSON.stringify({
  writable: ["/x", "/run/polaris-vm/agent/x", "/run/polaris-vm/tokens/x", "/run/polaris/key-api/x"].filter(writes),
  networks: Object.keys(require("node:os").networkInterfaces()).sort(),
  port: process.env.POLARIS_PROXY_PORT,
}));
`;

test("the proxy is in both networks, published, read-only, and sees the agent's folder", async (t) => {
  if (typeof world === "string") return t.skip(world);
  const image = `${world.registryHost}/node@${world.base.manifest.digest}`;
  const boot = bootWith({ proxy: { image, port: 40_443 }, others: { registryHosts: [] } });
  const machine = await startMachine(t, world, boot);
  const commands = await machine.commands("polaris-proxy.service");
  const docker = commands.filter(([program]) => program?.endsWith("/docker"));
  assert.deepEqual(
    docker.map((argv) => argv[1]),
    ["rm", "create", "network", "start", "stop"],
  );
  const [, create = [], connect = [], startAttached = []] = docker;
  // The image of this test has Node and no proxy in it.
  await machine.start([...create, "node", "-e", PROXY_REPORT]);
  await machine.start(connect);
  const report = JSON.parse(await machine.start(startAttached)) as Record<string, unknown>;
  assert.deepEqual(report, {
    writable: ["/run/polaris/key-api/x"],
    networks: ["eth0", "eth1", "lo"],
    port: "3000",
  });
  const [found] = JSON.parse(await machine.start(["docker", "inspect", "polaris-proxy"])) as [Inspected];
  assert.deepEqual(Object.keys(found.NetworkSettings.Networks).sort(), ["polaris-inside", "polaris-outside"]);
  assert.deepEqual(found.HostConfig.PortBindings, { "3000/tcp": [{ HostIp: "0.0.0.0", HostPort: "40443" }] });
  assert.deepEqual([found.HostConfig.CapDrop, found.HostConfig.ReadonlyRootfs], [["ALL"], true]);
});

test("the fetcher of secrets runs in the proxy's image, as root without rights, in the machine's network", async (t) => {
  if (typeof world === "string") return t.skip(world);
  const services = await startSecretServices(t);
  const version = "projects/my-project/secrets/hello-api-key/versions/3";
  services.answers.set(`GET /v1/${version}:access`, secretAnswer("line one\nline two"));
  const boot = bootWith({
    proxy: { image: `${world.registryHost}/node@${world.base.manifest.digest}` },
    others: { registryHosts: [], stsUrl: services.origin, secretManagerUrl: services.origin },
  });
  const machine = await startMachine(t, world, boot);
  await writeFile(join(machine.folder, "tokens/attestation-token"), "the.attestation.token", { mode: 0o600 });
  const commands = await machine.commands("polaris-secrets.service");
  const fetcher = commands.find((argv) => argv[1] === "run") ?? [];
  assert.equal(await machine.start(fetcher), "polaris: 1 secrets fetched\n");
  const file = join(machine.folder, "secrets/workload.env");
  assert.equal(await readFile(file, "utf8"), 'API_KEY="line one\nline two"\n');
  const { uid, mode } = await stat(file);
  assert.deepEqual([uid, mode & 0o777], [0, 0o600]);
});

test("the client logs in to the registries that are named, as the machine's account", async (t) => {
  if (typeof world === "string") return t.skip(world);
  const login = '#!/bin/bash\necho "$HOME $*" >>"$(dirname "$0")/logins"\n';
  const folder = await copyScripts(t, { "docker-credential-gcr": login });
  const script = join(folder, "prepare-docker.sh");
  await writeFile(script, (await readFile(script, "utf8")).replaceAll("/run/polaris", folder));
  const env = {
    PATH: `${folder}:${process.env["PATH"] ?? ""}`,
    HOME: "/home/x",
    DOCKER_HOST: world.engine.host,
  };
  await run("bash", [script, "polaris-inside", "polaris-outside", "a.pkg.dev", "b.pkg.dev"], {
    env,
    timeout: 60_000,
  });
  const logins = await readFile(join(folder, "logins"), "utf8");
  assert.equal(logins, "/home/x configure-docker --registries a.pkg.dev,b.pkg.dev\n");
  const inside = await world.engine.docker(
    "network",
    "inspect",
    "polaris-inside",
    "--format",
    "{{.Internal}} {{.Options}}",
  );
  assert.equal(inside, "true map[com.docker.network.bridge.inhibit_ipv4:true]");
});
