import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { parseProxyEnvironment, PROXY_VARIABLES } from "@polaris-cvm/proxy/environment";
import { SYSTEM_PATH_PREFIX } from "@polaris-cvm/sdk/headers";

import { LOG_FIELD_MEANINGS, METRICS, renderProxyPage, SYSTEM_ROUTES } from "./proxy-page.ts";

/** The environments of the page's commands. */
function readExamples(): Record<string, string>[] {
  const commands = [...renderProxyPage().matchAll(/^```sh\n([^`]*)npx polaris-proxy\n```$/gm)];
  return commands.map(([, lines = ""]) =>
    Object.fromEntries([...lines.matchAll(/^(\w+)=(.*) \\$/gm)].map(([, name, value]) => [name, value])),
  );
}

async function findClosedPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

test("shows two commands that the proxy takes without a warning, one for each kind of key", () => {
  const parsed = readExamples().map((environment) => parseProxyEnvironment(environment));
  assert.deepEqual(
    parsed.map(({ settings }) => settings.key.kind),
    ["ephemeral", "google-federated"],
  );
  assert.deepEqual(
    parsed.flatMap(({ warnings }) => warnings),
    [],
  );
});

test("has a row for every variable, with its default and the original's names", () => {
  const page = renderProxyPage();
  for (const variable of PROXY_VARIABLES) {
    const rows = page.split("\n").filter((line) => line.startsWith(`| \`${variable.name}\` |`));
    assert.equal(rows.length, 1, variable.name);
    for (const { name } of variable.originals ?? []) assert.ok(rows[0]?.includes(`\`${name}\``), name);
    assert.ok(rows[0]?.includes(`| \`${variable.example}\` |`), variable.name);
    if (variable.default !== undefined) {
      const text = variable.default === "" ? "empty" : `\`${variable.default}\``;
      assert.ok(rows[0]?.includes(`| ${text} |`), variable.name);
    }
  }
});

test("a proxy started as the page says has the page's routes, and logs the page's fields only", async (context) => {
  const workloadPort = await findClosedPort();
  const proxy = spawn(process.execPath, [fileURLToPath(import.meta.resolve("@polaris-cvm/proxy/bin"))], {
    env: {
      ...readExamples()[0],
      POLARIS_PROXY_PORT: "0",
      POLARIS_PROXY_WORKLOAD_URL: `http://127.0.0.1:${workloadPort}`,
      POLARIS_PROXY_LOG_LEVEL: "debug",
      POLARIS_PROXY_METRICS_PORT: "0",
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  context.after(() => proxy.kill("SIGKILL"));
  const ended = once(proxy, "close");
  const log: Readonly<Record<string, unknown>>[] = [];
  const lines = createInterface({ input: proxy.stdout });
  const read = once(lines, "close");
  await new Promise<void>((resolve, reject) => {
    lines.on("line", (text) => {
      const line = JSON.parse(text) as Record<string, unknown>;
      log.push(line);
      if (line["event"] === "metrics") resolve();
    });
    lines.on("close", () => reject(new Error("the proxy ended before it listened")));
  });
  const [port, metricsPort] = ["listening", "metrics"].map((event) =>
    Number(log.find((line) => line["event"] === event)?.["port"]),
  );
  const get = async (target: string): Promise<{ status: number; code: string | null; body: unknown }> => {
    const response = await fetch(`http://127.0.0.1:${port}${SYSTEM_PATH_PREFIX}${target}`);
    return {
      status: response.status,
      code: response.headers.get("polaris-error"),
      body: await response.json(),
    };
  };
  const answers = new Map<string, Awaited<ReturnType<typeof get>>>();
  for (const [route] of SYSTEM_ROUTES) {
    const [path = ""] = route.split("?");
    const nonce = Buffer.alloc(32, 7).toString("base64url");
    answers.set(path, await get(route.replace(/<.*>/, nonce)));
  }
  assert.deepEqual(answers.get("health"), { status: 200, code: null, body: { status: "ok" } });
  assert.deepEqual(answers.get("ready"), {
    status: 503,
    code: null,
    body: { status: "not-ready", reasons: ["WORKLOAD_UNREACHABLE"] },
  });
  assert.equal(answers.get("publicKey")?.status, 200);
  assert.deepEqual(
    [answers.get("attestation")?.status, answers.get("attestation")?.code],
    [503, "ATTESTATION_UNAVAILABLE"],
  );
  assert.deepEqual([(await get("logLevel")).status, (await get("attestation")).code], [404, "NONCE_INVALID"]);
  const metrics = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const names = [...metrics.matchAll(/^# HELP (polaris_proxy_\w+) /gm)].map(([, name = ""]) => name);
  assert.deepEqual(names.toSorted(), METRICS.map(([name]) => name).toSorted());

  proxy.kill("SIGTERM");
  assert.deepEqual(await ended, [0, null]);
  await read;
  // The line of the last request may come after it.
  assert.ok(log.slice(-2).some((line) => line["event"] === "stopped"));
  const known = ["time", "level", ...Object.keys(LOG_FIELD_MEANINGS)];
  for (const line of log)
    for (const field of Object.keys(line)) assert.ok(known.includes(field), `${field} is not on the page`);
});
