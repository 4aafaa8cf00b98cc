/**
 * Throws requests that are almost right at a real proxy process, one connection each, and holds it against its promises:
 * it lives, answers with what it says it answers with, forwards exactly what it logs, and tells nobody what was sealed.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { Server } from "node:http";
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { fetchPublicKey } from "@polaris-cvm/sdk";
import { makeHttpInput } from "./http-inputs.ts";
import { createRandom } from "./random.ts";
import { PLANTED_PLAINTEXT, makeSealedInput } from "./sealed-inputs.ts";

const PROXY = fileURLToPath(new URL("../../proxy/bin/polaris-proxy.js", import.meta.url));

/** Nobody else answers with it. */
const WORKLOAD_STATUS = 299;

/** What a client may get, whatever it sends, as long as workload and key are there (docs/proxy.md). */
const LISTED_STATUSES = new Set([
  100,
  200,
  204,
  400,
  404,
  405,
  408,
  413,
  417,
  422,
  431,
  503,
  WORKLOAD_STATUS,
]);

/** Longest wait for the end of one connection; the proxy's own limits are below. */
const CONNECTION_MS = 5_000;

/** After an answer, whatever comes soon belongs to it. */
const QUIET_MS = 100;
const AT_ONCE = 24;

/** Memory that a proxy may need when nothing has leaked, above what it needed after the first inputs. */
const MAX_GROWTH_BYTES = 128 * 1024 * 1024;

export interface FuzzReport {
  readonly inputs: number;
  /** Answers by status; 0: the connection was ended without one. */
  readonly answers: ReadonlyMap<number, number>;
  /** One line a broken promise, with the input in base64 where there is one. */
  readonly findings: readonly string[];
}

/** @param seed  the same inputs for the same seed */
export async function fuzzProxy(durationMs: number, seed: number): Promise<FuzzReport> {
  const random = createRandom(seed);
  const answers = new Map<number, number>();
  const findings: string[] = [];
  let inputs = 0;
  let forwardedCount = 0;

  const workload = createServer((request, response) => {
    forwardedCount += 1;
    const own = Object.keys(request.headers).filter((name) => name.startsWith("polaris-"));
    if (own.length > 0) findings.push(`the workload got the proxy's own fields: ${own.join(", ")}`);
    request.resume();
    response.writeHead(WORKLOAD_STATUS, { "content-type": "text/plain" }).end("ok");
  });
  const workloadPort = await listen(workload);
  const proxy = await startProxy(workloadPort);

  async function tryOne(input: Buffer): Promise<void> {
    inputs += 1;
    const answer = await exchange(proxy.port, input);
    for (const status of answer.statuses) {
      answers.set(status, (answers.get(status) ?? 0) + 1);
      if (!LISTED_STATUSES.has(status)) findings.push(`status ${status} for ${input.toString("base64")}`);
    }
    if (answer.text.includes(PLANTED_PLAINTEXT))
      findings.push(`plaintext in an answer to ${input.toString("base64")}`);
  }

  try {
    const { publicKey } = (await (await fetch(`${proxy.url}/polaris-container/publicKey`)).json()) as {
      publicKey: string;
    };
    const recipient = await fetchPublicKey(proxy.url, {});
    if (recipient.pem !== publicKey) findings.push("two public keys");
    const endMs = performance.now() + durationMs;
    let startBytes = 0;
    while (performance.now() < endMs && proxy.child.exitCode === null && findings.length < 20) {
      const batch = await Promise.all(
        Array.from({ length: AT_ONCE }, async () =>
          random.chance(0.25) ? await makeSealedInput(random, recipient) : makeHttpInput(random),
        ),
      );
      await Promise.all(batch.map(tryOne));
      if (inputs === AT_ONCE * 20) startBytes = await proxy.residentBytes();
    }
    if (proxy.child.exitCode !== null)
      findings.push(`the proxy ended with code ${proxy.child.exitCode}: ${proxy.errors()}`);
    const grownBytes = startBytes === 0 ? 0 : (await proxy.residentBytes()) - startBytes;
    if (grownBytes > MAX_GROWTH_BYTES) findings.push(`the proxy has grown by ${grownBytes} bytes`);
  } finally {
    await proxy.stop();
    workload.closeAllConnections();
    workload.close();
  }
  findings.push(...checkLog(proxy.log(), forwardedCount));
  return { inputs, answers, findings };
}

function checkLog(log: string, forwardedCount: number): string[] {
  const findings: string[] = [];
  if (log.includes(PLANTED_PLAINTEXT)) findings.push("plaintext in the log");
  const lines = log
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { event: string; status?: number; code?: string; reason?: string });
  for (const { status, code, reason } of lines) {
    if (status === 500 || code === "INTERNAL") findings.push(`a bug: ${reason}`);
  }
  const passed = lines.filter(({ status }) => status === WORKLOAD_STATUS).length;
  const givenUp = lines.filter(({ event }) => event === "request-given-up").length;
  if (forwardedCount < passed || forwardedCount > passed + givenUp) {
    findings.push(
      `the workload got ${forwardedCount} requests, the log has ${passed}, and ${givenUp} given up`,
    );
  }
  return findings;
}

/** Sends bytes and reads what comes back, until the other side ends or has nothing more to say. */
async function exchange(port: number, input: Buffer): Promise<{ statuses: number[]; text: string }> {
  const socket = connect({ port, host: "127.0.0.1" });
  const chunks: Buffer[] = [];
  await new Promise<void>((resolve) => {
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      socket.setTimeout(QUIET_MS);
    });
    for (const event of ["error", "end", "timeout"]) socket.once(event, () => resolve());
    socket.setTimeout(CONNECTION_MS);
    socket.write(input);
  });
  socket.destroy();
  const text = Buffer.concat(chunks).toString("latin1");
  const statuses = [...text.matchAll(/^HTTP\/1\.1 (\d{3}) /gm)].map((match) => Number(match[1]));
  return { statuses: statuses.length === 0 ? [0] : statuses, text };
}

async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

interface ProxyProcess {
  readonly child: ChildProcess;
  readonly port: number;
  readonly url: string;
  log(): string;
  errors(): string;
  /** From its metrics, so that it works on every system. */
  residentBytes(): Promise<number>;
  stop(): Promise<void>;
}

async function startProxy(workloadPort: number): Promise<ProxyProcess> {
  const child = spawn(process.execPath, [PROXY], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      POLARIS_PROXY_HOST: "127.0.0.1",
      POLARIS_PROXY_PORT: "0",
      POLARIS_PROXY_METRICS_PORT: "0",
      POLARIS_PROXY_WORKLOAD_URL: `http://127.0.0.1:${workloadPort}`,
      POLARIS_PROXY_ENCRYPT_REQUESTS: "optional",
      POLARIS_PROXY_ENCRYPT_RESPONSES: "optional",
      POLARIS_PROXY_CORS_ORIGINS: "https://a.example",
      POLARIS_PROXY_HEADERS_TIMEOUT_MS: "1000",
      POLARIS_PROXY_BODY_TIMEOUT_MS: "1000",
      POLARIS_PROXY_IDLE_TIMEOUT_MS: "1000",
    },
  });
  let log = "";
  let errors = "";
  const ports = new Promise<{ port: number; metricsPort: number }>((resolve, reject) => {
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      log += text;
      const port = /"event":"listening".*?"port":(\d+)/.exec(log)?.[1];
      const metricsPort = /"event":"metrics".*?"port":(\d+)/.exec(log)?.[1];
      if (port !== undefined && metricsPort !== undefined) {
        resolve({ port: Number(port), metricsPort: Number(metricsPort) });
      }
    });
    child.once("exit", (code) => reject(new Error(`the proxy ended with code ${code}: ${errors}`)));
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  const { port, metricsPort } = await ports;
  return {
    child,
    port,
    url: `http://127.0.0.1:${port}`,
    log: () => log,
    errors: () => errors,
    async residentBytes() {
      const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
      return Number(/^process_resident_memory_bytes (\d+)/m.exec(text)?.[1]);
    },
    async stop() {
      if (child.exitCode !== null) return;
      const closed = once(child, "close");
      child.kill("SIGTERM");
      await closed;
    },
  };
}
