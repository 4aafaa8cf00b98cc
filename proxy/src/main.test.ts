import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { test } from "node:test";

const BIN = fileURLToPath(new URL("../bin/polaris-proxy.js", import.meta.url));

function run(environment: Record<string, string>) {
  const child = spawn(process.execPath, [BIN], { env: environment, stdio: ["ignore", "pipe", "pipe"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  return {
    child,
    /** The next line of the log, parsed. */
    nextLine: async () => JSON.parse(String((await lines.next()).value)) as Record<string, unknown>,
    /** Waits for the end. */
    async end() {
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

test("a port that is taken stops the start with one line", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as AddressInfo;
  const { exitCode, stderr } = await run({
    POLARIS_PROXY_WORKLOAD_URL: "http://127.0.0.1:9",
    POLARIS_PROXY_HOST: "127.0.0.1",
    POLARIS_PROXY_PORT: String(port),
  }).end();
  taken.close();
  assert.deepEqual(
    { exitCode, stderr },
    {
      exitCode: 1,
      stderr: `polaris-proxy: error: listen EADDRINUSE: address already in use 127.0.0.1:${port}\n`,
    },
  );
});
