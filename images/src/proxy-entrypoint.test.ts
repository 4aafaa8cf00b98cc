/** The entry point on this machine: its command line as the image has it, with the folders of the image elsewhere. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { chmod, chown, mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { createSelfSignedCertificate } from "../../proxy/src/self-signed-certificate.ts";
import { startWorkload } from "../../proxy/testing/running-proxy.ts";
import { startTokenAgent } from "../../proxy/testing/token-agent-double.ts";
import { createClient } from "@polaris-cvm/sdk";
import { extractArchive } from "../testing/read-tar.ts";
import { createSmallBase } from "../testing/small-base.ts";
import { PROXY_ENTRYPOINT } from "./proxy-entrypoint.ts";
import { buildProxyImage } from "./proxy-image.ts";

const IMAGE_USER = { uid: 65532, gid: 65532 };

/** Root becomes the image's user, as in the image, where that one can come to Node; anybody else stays who he is. */
const USER =
  process.getuid?.() === 0 && spawnSync(process.execPath, ["--version"], IMAGE_USER).status === 0
    ? IMAGE_USER
    : { uid: undefined, gid: undefined };

/** Stands for the root of the container's file system. */
let root: string;
let run: string;

before(async () => {
  root = await mkdtemp(join(tmpdir(), "polaris-root-"));
  run = join(root, "run");
  const { signal } = new AbortController();
  const image = await buildProxyImage({ base: createSmallBase(), baseName: "small", signal });
  await extractArchive(image.layer, root);
  await mkdir(join(run, "polaris/key-api"), { recursive: true, mode: 0o755 });
  await chmod(join(run, "polaris/key-api"), 0o700);
  if (USER.uid !== undefined) await chown(join(run, "polaris/key-api"), USER.uid, USER.gid);
  await mkdir(join(root, "empty"));
  await chmod(join(root, "empty"), 0o555);
  await chmod(root, 0o755);
});
after(() => rm(root, { recursive: true }));

/** The command line of the image, with another program if one is given. */
function commandLine(program?: string): string[] {
  const here = PROXY_ENTRYPOINT.slice(1).map((word) =>
    word.replace(/(^|=)\/(polaris|run)\//, `$1${root}/$2/`),
  );
  return program === undefined ? here : [...here.slice(0, -1), program];
}

interface Started extends AsyncDisposable {
  readonly child: ChildProcess;
  /** Waits for a line of the log. */
  event(name: string): Promise<Record<string, unknown>>;
  /** What it said on stderr so far. */
  stderr(): string;
}

function start(environment: Record<string, string>): Started {
  const child = spawn(process.execPath, commandLine(), {
    env: { POLARIS_PROXY_PORT: "0", POLARIS_PROXY_HOST: "127.0.0.1", ...environment },
    cwd: join(root, "empty"),
    stdio: ["ignore", "pipe", "pipe"],
    ...USER,
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (piece: string) => (said += piece));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    child,
    async event(name) {
      for (;;) {
        const line = await lines.next();
        if (line.done === true) throw new Error(`it ended before "${name}": ${said}`);
        const parsed = JSON.parse(line.value) as Record<string, unknown>;
        if (parsed["event"] === name) return parsed;
      }
    },
    stderr: () => said,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      await once(child, "close");
    },
  };
}

test("the proxy answers, opens and seals, shows evidence and metrics, writes nothing and warns of nothing", async () => {
  await using workload = await startWorkload();
  await using agent = await startTokenAgent(
    () => "HTTP/1.1 500 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
  );
  await chmod(dirname(agent.socketPath), 0o755);
  await chmod(agent.socketPath, 0o666);
  await using proxy = start({
    POLARIS_PROXY_WORKLOAD_URL: workload.url,
    POLARIS_PROXY_METRICS_PORT: "0",
    POLARIS_PROXY_TOKEN_AGENT_SOCKET: agent.socketPath,
  });
  const { port } = await proxy.event("listening");
  const { port: metricsPort } = await proxy.event("metrics");
  const url = `http://127.0.0.1:${String(port)}`;
  const health = await fetch(`${url}/polaris-container/health`);
  assert.equal(health.status, 200);
  assert.deepEqual(await health.json(), { status: "ok" });

  const answer = await fetch(`${url}/polaris-container/publicKey`);
  const { publicKey } = (await answer.json()) as { publicKey: string };
  const client = createClient({ url, publicKey });
  const opened = await client.fetch("/echo", { method: "POST", body: "sealed both ways" });
  assert.equal(await opened.text(), "sealed both ways");
  assert.equal(workload.seen[0]?.url, "/echo");

  const metrics = await (await fetch(`http://127.0.0.1:${String(metricsPort)}/metrics`)).text();
  for (const name of [
    "process_open_fds",
    "process_max_fds",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
  ]) {
    assert.match(metrics, new RegExp(`^${name} [1-9]`, "m"));
  }
  // It got through to the agent, whatever that said.
  await fetch(`${url}/polaris-container/attestation?nonce=${Buffer.alloc(32).toString("base64url")}`);
  assert.equal(agent.questions.length, 1);
  assert.deepEqual(await readdir(join(root, "empty")), []);
  assert.equal(proxy.stderr(), "");
});

test("TLS files are read from /run, and from nowhere else", async () => {
  const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const certificate = createSelfSignedCertificate(keys, Date.now());
  const key = keys.privateKey.export({ type: "pkcs8", format: "pem" });
  for (const folder of [run, join(root, "etc")]) {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "tls.crt"), certificate);
    await writeFile(join(folder, "tls.key"), key, { mode: 0o644 });
  }
  const environment = (folder: string) => ({
    POLARIS_PROXY_WORKLOAD_URL: "http://127.0.0.1:9",
    POLARIS_PROXY_TLS: "files",
    POLARIS_PROXY_TLS_CERTIFICATE: join(folder, "tls.crt"),
    POLARIS_PROXY_TLS_KEY: join(folder, "tls.key"),
  });
  await using inside = start(environment(run));
  await inside.event("listening");

  await using outside = start(environment(join(root, "etc")));
  await once(outside.child, "close");
  assert.equal(outside.child.exitCode, 2);
  assert.match(
    outside.stderr(),
    /^polaris-proxy: error: cannot read \S+tls\.(crt|key) \(ERR_ACCESS_DENIED\)\n$/,
  );
});

test("the key API listens in /run/polaris, and the token for the cloud is read from /run", async () => {
  await writeFile(join(run, "token"), "not.a.token");
  const socketPath = join(run, "polaris/key-api/key-api.sock");
  await using proxy = start({
    POLARIS_PROXY_WORKLOAD_URL: "http://127.0.0.1:9",
    POLARIS_PROXY_STACK: "hello/test",
    POLARIS_PROXY_KEY: "google-federated",
    POLARIS_PROXY_GOOGLE_PROJECT: "my-keys",
    POLARIS_PROXY_GOOGLE_LOCATION: "europe-west4",
    POLARIS_PROXY_GOOGLE_KEY_RING: "ring",
    POLARIS_PROXY_GOOGLE_KEY: "key",
    POLARIS_PROXY_GOOGLE_AUDIENCE:
      "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/attested",
    POLARIS_PROXY_GOOGLE_TOKEN_FILE: join(run, "token"),
    POLARIS_PROXY_GOOGLE_STS_URL: "http://127.0.0.1:9",
    POLARIS_PROXY_GOOGLE_KMS_URL: "http://127.0.0.1:9",
    POLARIS_PROXY_WORKLOAD_KEY_API_SOCKET: socketPath,
  });
  // The token was read: the service, which is not there, was asked.
  const { code, reason } = await proxy.event("key-not-yet");
  assert.equal(code, "KEY_UNAVAILABLE");
  assert.doesNotMatch(String(reason), /ACCESS_DENIED|token file/i);
  await proxy.event("listening");
  assert.ok((await stat(socketPath)).isSocket());
  const asked = get({ socketPath, path: "/nothing" });
  const [response] = (await once(asked, "response")) as [{ statusCode: number; resume(): void }];
  response.resume();
  assert.equal(response.statusCode, 404);
});

test("what is not in the list is denied", async () => {
  const program = join(root, "polaris/probe.mjs");
  await writeFile(
    program,
    `import { spawnSync } from "node:child_process";
     import { readFileSync, readdirSync, writeFileSync } from "node:fs";
     import { open } from "node:inspector";
     const attempts = {
       program: () => spawnSync("true"),
       passwd: () => readFileSync("/etc/passwd"),
       environ: () => readFileSync("/proc/self/environ"),
       memory: () => readFileSync("/proc/self/maps"),
       list: () => readdirSync("/"),
       beside: () => writeFileSync("${root}/run/beside", ""),
       own: () => writeFileSync("${root}/polaris/polaris-proxy.mjs", ""),
       debugger: () => open(0),
       code: () => new Function("return 1")(),
       native: () => process.dlopen({ exports: {} }, "/none.node"),
       allowed: () => readdirSync("${root}/run"),
     };
     const outcomes = Object.entries(attempts).map(([name, attempt]) => {
       try { attempt(); return [name, "done"]; } catch (error) { return [name, error.code ?? error.name]; }
     });
     console.log(JSON.stringify(Object.fromEntries(outcomes)));`,
  );
  const child = spawn(process.execPath, commandLine(program), {
    env: {},
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  const denied = "ERR_ACCESS_DENIED";
  assert.deepEqual(JSON.parse(line), {
    program: denied,
    passwd: denied,
    environ: denied,
    memory: denied,
    list: denied,
    beside: denied,
    own: denied,
    debugger: denied,
    code: "EvalError",
    native: "ERR_DLOPEN_DISABLED",
    allowed: "done",
  });
});
