import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { test } from "node:test";

const manifest = JSON.parse(await readFile(new URL("../package.json", import.meta.url), "utf8")) as {
  version: string;
};
const BIN = fileURLToPath(new URL("../bin/polaris-proxy.js", import.meta.url));

function run(environment: Record<string, string>, ...given: string[]) {
  const child = spawn(process.execPath, [BIN, ...given], {
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stderr = "";
  let lines: AsyncIterator<string> | undefined;
  child.stderr.setEncoding("utf8").on("data", (piece: string) => (stderr += piece));
  return {
    child,
    /** The next line of the log, parsed. */
    async nextLine() {
      lines ??= createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      return JSON.parse(String((await lines.next()).value)) as Record<string, unknown>;
    },
    /** What is still to come on stdout. */
    stdout: () => text(child.stdout),
    /** Waits for the end. */
    async end() {
      child.stdout.resume();
      const [exitCode] = (await once(child, "close")) as [number | null];
      return { exitCode, stderr };
    },
  };
}

test("says in one parseable line where it listens, answers there, and ends well when told to", async () => {
  const proxy = run({
    POLARIS_PROXY_WORKLOAD_URL: "http://127.0.0.1:9",
    POLARIS_PROXY_PORT: "0",
    POLARIS_PROXY_HOST: "127.0.0.1",
    POLARIS_CONTAINER_LOG_LEVEL: "info",
  });
  const { event, keyProvider, port } = await proxy.nextLine();
  assert.deepEqual({ event, keyProvider }, { event: "listening", keyProvider: "ephemeral" });
  const health = await fetch(`http://127.0.0.1:${String(port)}/polaris-container/health`);
  assert.deepEqual(await health.json(), { status: "ok" });

  proxy.child.kill("SIGTERM");
  assert.deepEqual(await proxy.end(), {
    exitCode: 0,
    stderr:
      "polaris-proxy: warning: POLARIS_CONTAINER_LOG_LEVEL is the original proxy's name, set POLARIS_PROXY_LOG_LEVEL instead\n",
  });
});

test("a wrong environment stops the start with one line and exit code 2", async () => {
  assert.deepEqual(await run({ POLARIS_PROXY_PORT: "x" }).end(), {
    exitCode: 2,
    stderr:
      'polaris-proxy: error: invalid environment: POLARIS_PROXY_PORT must be an integer from 0 to 65535, got "x"; POLARIS_PROXY_WORKLOAD_URL is required\n',
  });
});

/** Starts a proxy that must not listen. */
async function runInVain(host: string, port: number) {
  return await run({
    POLARIS_PROXY_WORKLOAD_URL: "http://127.0.0.1:9",
    POLARIS_PROXY_HOST: host,
    POLARIS_PROXY_PORT: String(port),
  }).end();
}

test("a port that is taken stops the start with one line", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as AddressInfo;
  const outcome = await runInVain("127.0.0.1", port);
  taken.close();
  assert.deepEqual(outcome, {
    exitCode: 1,
    stderr: `polaris-proxy: error: port ${port} of 127.0.0.1 is taken, set POLARIS_PROXY_PORT to a free one\n`,
  });
});

test("a host that is not this machine, or none at all, stops the start with one line", async () => {
  // 192.0.2.0/24 is nobody's (RFC 5737); a name with an empty label is refused before anybody is asked for it.
  assert.deepEqual(await runInVain("192.0.2.1", 0), {
    exitCode: 1,
    stderr:
      "polaris-proxy: error: 192.0.2.1 is not an address of this machine, set POLARIS_PROXY_HOST to one of its own\n",
  });
  assert.deepEqual(await runInVain("a..b", 0), {
    exitCode: 1,
    stderr:
      "polaris-proxy: error: host a..b is not found, set POLARIS_PROXY_HOST to an address of this machine\n",
  });
});

test("--help says how to start it, and reads no environment", async () => {
  const proxy = run({ POLARIS_PROXY_PORT: "x" }, "--help");
  const [usage, outcome] = await Promise.all([proxy.stdout(), proxy.end()]);
  assert.deepEqual(outcome, { exitCode: 0, stderr: "" });
  assert.match(
    usage,
    /^usage: polaris-proxy \[[^]*docs\/proxy\.md[^]*\nExamples:\n {2}POLARIS_PROXY_WORKLOAD_URL=/,
  );
  assert.ok(usage.split("\n").every((line) => line.length <= 80));
});

test("--version prints its own and Node's, and reads no environment", async () => {
  const proxy = run({ POLARIS_PROXY_PORT: "x" }, "--version");
  const [version, outcome] = await Promise.all([proxy.stdout(), proxy.end()]);
  assert.deepEqual(outcome, { exitCode: 0, stderr: "" });
  assert.equal(version, `polaris-proxy ${manifest.version} (Node ${process.versions.node})\n`);
});

test("--check prints what is not the default, warns on stderr, and listens nowhere", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as AddressInfo;
  const proxy = run(
    { PORT: String(port), POLARIS_PROXY_HOST: "127.0.0.1", POLARIS_PROXY_WORKLOAD_URL: "http://127.0.0.1:9" },
    "--check",
  );
  const [settings, outcome] = await Promise.all([proxy.stdout(), proxy.end()]);
  taken.close();
  assert.equal(
    settings,
    `POLARIS_PROXY_PORT=${port}\nPOLARIS_PROXY_HOST=127.0.0.1\nPOLARIS_PROXY_WORKLOAD_URL=http://127.0.0.1:9\n`,
  );
  assert.deepEqual(outcome, {
    exitCode: 0,
    stderr:
      "polaris-proxy: warning: PORT is the original proxy's name, set POLARIS_PROXY_PORT instead\n" +
      "polaris-proxy: warning: POLARIS_PROXY_TOKEN_AGENT_SOCKET is not set: clients have to take the public key on trust\n",
  });
});

test("--check says every problem in a line of its own, with exit code 2", async () => {
  const proxy = run({ POLARIS_PROXY_PORT: "x", POLARIS_PROXY_COLOUR: "red" }, "--check");
  const [settings, outcome] = await Promise.all([proxy.stdout(), proxy.end()]);
  assert.equal(settings, "");
  assert.deepEqual(outcome, {
    exitCode: 2,
    stderr:
      "polaris-proxy: error: POLARIS_PROXY_COLOUR is not known\n" +
      'polaris-proxy: error: POLARIS_PROXY_PORT must be an integer from 0 to 65535, got "x"\n' +
      "polaris-proxy: error: POLARIS_PROXY_WORKLOAD_URL is required\n",
  });
});

test("--check, like a start, ends with exit code 2 where the TLS files are not there", async () => {
  const environment = {
    POLARIS_PROXY_WORKLOAD_URL: "http://127.0.0.1:9",
    POLARIS_PROXY_TLS: "files",
    POLARIS_PROXY_TLS_CERTIFICATE: "/nonexistent/tls.crt",
    POLARIS_PROXY_TLS_KEY: "/nonexistent/tls.key",
  };
  for (const given of [["--check"], []]) {
    assert.deepEqual(await run(environment, ...given).end(), {
      exitCode: 2,
      stderr: "polaris-proxy: error: cannot read /nonexistent/tls.crt (ENOENT)\n",
    });
  }
});

for (const given of [
  ["--planted"],
  ["planted"],
  ["--help", "planted"],
  ["--check", "planted"],
  ["-h"],
  [""],
]) {
  test(`the arguments ${JSON.stringify(given)} are refused and not repeated`, async () => {
    assert.deepEqual(await run({ POLARIS_PROXY_WORKLOAD_URL: "http://127.0.0.1:9" }, ...given).end(), {
      exitCode: 2,
      stderr:
        "polaris-proxy: error: takes one of --check, --help and --version, or nothing: settings are in the environment\n",
    });
  });
}
