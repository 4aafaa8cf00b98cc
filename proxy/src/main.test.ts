import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { test } from "node:test";

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
  assert.match(usage, /^usage: polaris-proxy\n[^]*docs\/proxy\.md[^]*POLARIS_PROXY_WORKLOAD_URL/);
});

for (const given of [["--planted"], ["planted"], ["--help", "planted"], ["-h"], [""]]) {
  test(`the arguments ${JSON.stringify(given)} are refused and not repeated`, async () => {
    assert.deepEqual(await run({ POLARIS_PROXY_WORKLOAD_URL: "http://127.0.0.1:9" }, ...given).end(), {
      exitCode: 2,
      stderr: "polaris-proxy: error: takes no arguments but --help: settings are in the environment\n",
    });
  });
}
