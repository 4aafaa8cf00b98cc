import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { parse } from "yaml";
import { audienceOf, issueToken, startTestTrust, temporaryFolder } from "../trust/fixture.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const EXAMPLE = join(ROOT, "examples/proxy");
const README = await readFile(join(EXAMPLE, "README.md"), "utf8");

/** The README's commands, one each. */
const COMMANDS = [...README.matchAll(/^```sh\n(.*?)^```$/gms)].flatMap(([, block = ""]) =>
  block.trim().split("\n"),
);

/** The one command of the README that matches. */
function findCommand(pattern: RegExp): string {
  const [command, ...more] = COMMANDS.filter((text) => pattern.test(text));
  assert.ok(command !== undefined && more.length === 0, `${String(pattern)}: ${more.length} more`);
  return command;
}

const START_WORKLOAD = findCommand(/server\.js$/);
const START_PROXY = findCommand(/ephemeral\.env \S+$/);
const START_WITH_CLOUD_KEY = findCommand(/google-federated\.env \S+$/);
const CLIENT = findCommand(/client\.js http:\S+$/);
const SAVE_KEY = findCommand(/publicKey \|/);
const CLIENT_WITH_KEY = findCommand(/client\.js .*\.pem$/);

/** The shell of the README's reader, in the root of the repository or elsewhere. */
function shell(environment: Readonly<Record<string, string>>, cwd = ROOT) {
  return {
    cwd,
    env: {
      PATH: `${ROOT}/node_modules/.bin:${process.env["PATH"]}`,
      HOME: process.env["HOME"] ?? "/tmp",
      ...environment,
    },
  };
}

/** Runs a command to its end. `npx node` is the Node of the lockfile, which is first in the path here. */
async function run(
  command: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const text = command.replaceAll("npx ", "");
  const child = execFile("sh", ["-c", text], shell(environment), () => undefined);
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (piece: string) => (stdout += piece));
  child.stderr?.on("data", (piece: string) => (stderr += piece));
  const [exitCode] = (await once(child, "close")) as [number];
  return { exitCode, stdout, stderr };
}

/** Starts a command that goes on, and resolves with its output once a line of it matches. */
async function start(
  context: TestContext,
  command: string,
  environment: Readonly<Record<string, string>>,
  pattern: RegExp,
): Promise<readonly string[]> {
  const [program = "", ...given] = command.replace("npx ", "").split(" ");
  const child: ChildProcess = spawn(program, given, {
    ...shell(environment),
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "close");
  context.after(async () => {
    child.kill("SIGTERM");
    assert.deepEqual(await ended, [0, null], command);
  });
  assert.ok(child.stdout !== null);
  const lines = createInterface({ input: child.stdout });
  const seen: string[] = [];
  return await new Promise((resolve, reject) => {
    lines.on("line", (line) => {
      seen.push(line);
      if (pattern.test(line)) resolve(seen);
    });
    lines.on("close", () => reject(new Error(`ended: ${command}`)));
  });
}

/** The workload and the proxy of the README, on free ports in place of its own. */
async function startBoth(
  context: TestContext,
  command: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<string> {
  const [listening = ""] = await start(context, START_WORKLOAD, { PORT: "0" }, /^listening on 127\.0\.0\.1:/);
  const log = await start(
    context,
    command,
    {
      POLARIS_PROXY_PORT: "0",
      POLARIS_PROXY_WORKLOAD_URL: `http://${listening.split(" ").at(-1)}`,
      ...environment,
    },
    /"event":"key-available"/,
  );
  return `http://127.0.0.1:${(JSON.parse(log[0] ?? "") as { port: number }).port}`;
}

const at = (endpoint: string, command: string): string =>
  command.replaceAll("http://127.0.0.1:3000", endpoint);
const ANSWER = "200 You asked for /a/secret/path?and=query, and nobody on the way could read it.\n";

test("the README's commands for plain Node: sealed requests are answered, clear ones refused", async (context) => {
  const endpoint = await startBoth(context, START_PROXY);
  assert.deepEqual(await run(at(endpoint, CLIENT)), { exitCode: 0, stdout: ANSWER, stderr: "" });
  const refused = await fetch(`${endpoint}/a/secret/path`);
  assert.deepEqual([refused.status, refused.headers.get("polaris-error")], [400, "ENCRYPTION_REQUIRED"]);

  // The same with the key in a file, which is not to lie around in the repository.
  const folder = await temporaryFolder(context);
  const curl = /curl -s (\S+)/.exec(SAVE_KEY)?.[1] ?? "";
  const document = await (await fetch(at(endpoint, curl))).text();
  await writeFile(join(folder, "document"), document);
  const inFolder = (command: string): string =>
    command.replace("/tmp/proxy-key.pem", join(folder, "proxy-key.pem"));
  const saved = await run(inFolder(SAVE_KEY).replace(/^curl.*?\|/, `cat ${folder}/document |`));
  assert.deepEqual(saved, { exitCode: 0, stdout: "", stderr: "" });
  const pinned = await run(inFolder(at(endpoint, CLIENT_WITH_KEY)));
  assert.deepEqual(pinned, { exitCode: 0, stdout: ANSWER, stderr: "" });
});

test("without a proxy the client says so in one line", async () => {
  // Port 1 needs rights that nothing of a test has; nothing listens there.
  const { exitCode, stdout, stderr } = await run(at("http://127.0.0.1:1", CLIENT));
  assert.deepEqual([exitCode, stdout], [1, ""]);
  assert.match(stderr, /^no proxy answers at http:\/\/127\.0\.0\.1:1 yet: .*\n$/);
});

test("the README's command for a key in Cloud KMS, against the local trust services", async (context) => {
  const trust = await startTestTrust(context, { clock: { nowMs: Date.now() } });
  const tokenFile = join(await temporaryFolder(context), "token");
  await writeFile(tokenFile, await issueToken(trust, audienceOf("attested")));
  const endpoint = await startBoth(context, START_WITH_CLOUD_KEY, {
    POLARIS_PROXY_GOOGLE_PROJECT: "sim-project",
    POLARIS_PROXY_GOOGLE_LOCATION: "local",
    POLARIS_PROXY_GOOGLE_KEY_RING: "hello-ring",
    POLARIS_PROXY_GOOGLE_KEY: "hello-key",
    POLARIS_PROXY_GOOGLE_AUDIENCE: audienceOf("attested"),
    POLARIS_PROXY_GOOGLE_TOKEN_FILE: tokenFile,
    POLARIS_PROXY_GOOGLE_STS_URL: trust.url,
    POLARIS_PROXY_GOOGLE_KMS_URL: trust.url,
    POLARIS_PROXY_GOOGLE_IAM_CREDENTIALS_URL: trust.url,
  });
  assert.deepEqual(await run(at(endpoint, CLIENT)), { exitCode: 0, stdout: ANSWER, stderr: "" });
});

for (const kind of ["ephemeral", "google-federated"]) {
  test(`the settings of ${kind}.env are valid, and --check says so by the README's command`, async () => {
    const { exitCode, stdout, stderr } = await run(findCommand(new RegExp(`${kind}\\.env .* --check$`)));
    assert.equal(exitCode, 0, stderr);
    assert.match(stdout, /^POLARIS_PROXY_WORKLOAD_URL=http:\/\/127\.0\.0\.1:8000$/m);
    assert.equal(stdout.includes("POLARIS_PROXY_KEY=google-federated"), kind === "google-federated");
    assert.match(stderr, /^(polaris-proxy: warning: .+\n)+$/);
  });
}

interface Service {
  readonly build: { readonly context: string; readonly dockerfile: string; readonly target: string };
  readonly environment?: Readonly<Record<string, string>>;
  readonly env_file?: readonly string[];
  readonly ports?: readonly string[];
  readonly expose?: unknown;
  readonly network_mode?: unknown;
  readonly networks: readonly string[];
  readonly privileged?: unknown;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly volumes?: readonly { readonly read_only: boolean; readonly target: string }[];
}

interface Compose {
  readonly services: { readonly workload: Service; readonly proxy: Service };
  readonly networks: Readonly<Record<string, { readonly internal?: boolean }>>;
}

const readCompose = async (name: string): Promise<Compose> =>
  parse(await readFile(join(EXAMPLE, name), "utf8")) as Compose;

test("compose: nothing but the proxy has a port, and the workload is on an internal network only", async () => {
  const { services, networks } = await readCompose("compose.yaml");
  assert.deepEqual(Object.keys(services).toSorted(), ["proxy", "workload"]);
  assert.deepEqual(services.proxy.ports, ["127.0.0.1:3000:3000"]);
  for (const way of ["ports", "expose", "network_mode"] as const) {
    assert.equal(services.workload[way], undefined, way);
  }
  assert.deepEqual(services.workload.networks, ["inside"]);
  assert.deepEqual(services.proxy.networks.toSorted(), ["inside", "outside"]);
  assert.equal(networks["inside"]?.internal, true);
});

test("compose: both containers run without rights and with a file system that cannot be written to", async () => {
  const { services } = await readCompose("compose.yaml");
  for (const [name, service] of Object.entries(services)) {
    assert.partialDeepStrictEqual(
      service,
      { read_only: true, user: "1000:1000", cap_drop: ["ALL"], security_opt: ["no-new-privileges:true"] },
      name,
    );
    assert.equal("privileged" in service || "cap_add" in service, false, name);
  }
});

test("compose: the proxy's settings are valid and reach the workload by its name, and it is asked whether it is ready", async () => {
  for (const [files, kind] of [
    [["compose.yaml"], "ephemeral"],
    [["compose.yaml", "compose.google-federated.yaml"], "google-federated"],
  ] as const) {
    const layers = await Promise.all(files.map((file) => readCompose(file)));
    const envFiles = layers.flatMap(({ services }) => services.proxy.env_file ?? []);
    const environment = Object.assign(
      {},
      ...layers.map(({ services }) => services.proxy.environment),
    ) as Record<string, string>;
    const options = envFiles.map((file) => `--env-file=examples/proxy/${file}`).join(" ");
    const checked = await run(`node ${options} proxy/bin/polaris-proxy.js --check`, environment);
    assert.equal(checked.exitCode, 0, checked.stderr);
    assert.match(checked.stdout, /^POLARIS_PROXY_WORKLOAD_URL=http:\/\/workload:8000$/m);
    // What the proxy is told to listen on is what is published: the defaults, which --check leaves out.
    assert.doesNotMatch(checked.stdout, /POLARIS_PROXY_(HOST|PORT)=/);
    assert.equal(checked.stdout.includes("POLARIS_PROXY_KEY=google-federated"), kind === "google-federated");
  }
  const { workload, proxy } = (await readCompose("compose.yaml")).services;
  assert.deepEqual([workload.environment?.["HOST"], workload.environment?.["PORT"]], ["0.0.0.0", "8000"]);
  assert.match(
    proxy.healthcheck?.test.at(-1) ?? "",
    /^fetch\("http:\/\/127\.0\.0\.1:3000\/polaris-container\/ready"\)/,
  );
  const [mount] = (await readCompose("compose.google-federated.yaml")).services.proxy.volumes ?? [];
  assert.deepEqual([mount?.read_only, mount?.target], [true, "/run/container_launcher"]);
});

test("compose: the question of the health check tells a proxy that is ready from one that is not", async (context) => {
  const endpoint = await startBoth(context, START_PROXY);
  const { proxy } = (await readCompose("compose.yaml")).services;
  const [, program = "", flag = "", script = ""] = proxy.healthcheck?.test ?? [];
  const ask = async (url: string): Promise<number> => {
    const child = spawn(program, [flag, script.replace("http://127.0.0.1:3000", url)], {
      ...shell({}),
      stdio: "ignore",
    });
    return ((await once(child, "close")) as [number])[0];
  };
  assert.equal(await ask(endpoint), 0);
  assert.equal(await ask(`${endpoint}/polaris-container/none?`), 1);
  assert.equal(await ask("http://127.0.0.1:1"), 1);
});

test("compose: docker itself takes the files", { skip: await whyNoCompose() }, async () => {
  for (const files of ["-f compose.yaml", "-f compose.yaml -f compose.google-federated.yaml"]) {
    const { exitCode, stdout, stderr } = await run(
      `cd ${EXAMPLE} && docker compose ${files} config --format json`,
    );
    assert.equal(exitCode, 0, stderr);
    const { services } = JSON.parse(stdout) as { services: Record<string, { ports?: unknown }> };
    const published = Object.entries(services).filter(([, { ports }]) => ports !== undefined);
    assert.deepEqual(
      published.map(([name]) => name),
      ["proxy"],
    );
  }
});

async function whyNoCompose(): Promise<string | false> {
  return promisify(execFile)("docker", ["compose", "version"]).then(
    () => false as const,
    () => "there is no docker client with compose",
  );
}

test("Containerfile: everything that it copies is there, and every package that the lockfile wants", async () => {
  const text = await readFile(join(EXAMPLE, "Containerfile"), "utf8");
  const copies = [...text.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources = ""]) =>
    sources.split(" "),
  );
  assert.ok(copies.length >= 12, `${copies.length} sources`);
  for (const source of copies) assert.ok((await stat(join(ROOT, source))).size > 0, source);
  const { workspaces } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as {
    workspaces: string[];
  };
  for (const name of workspaces) assert.ok(copies.includes(`${name}/package.json`), name);
  // The last word of each image is a user without rights, before what it starts.
  assert.equal([...text.matchAll(/^USER node\n(?:EXPOSE 3000\n)?ENTRYPOINT/gm)].length, 2);

  const ignored = await readFile(join(EXAMPLE, "Containerfile.dockerignore"), "utf8");
  const kept = [...ignored.matchAll(/^!(.+)$/gm)].map(([, path = ""]) => path);
  for (const source of copies) {
    assert.ok(
      kept.some((path) => source === path || source.startsWith(`${path}/`)),
      `${source} is left out`,
    );
  }
});
