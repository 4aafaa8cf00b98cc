import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { bundleProxy } from "@polaris-cvm/images/proxy-bundle.ts";
import { PROXY_NODE_FLAGS } from "@polaris-cvm/proxy/environment";
import type { Bench } from "../measure.ts";
import { endOnAbort } from "../run-node.ts";
import type { Job, OutcomeOf } from "./jobs.ts";
import type { RsaJob } from "./rsa-reference.ts";

/** Longest start of a process: making an RSA key takes its time. */
const START_LIMIT_MS = 30_000;

/** Longest that the proxy may take to finish what is in flight. */
const END_LIMIT_MS = 12_000;

/** Between two looks into the proxy's log for the port. */
const LOOK_MS = 20;

/** A process of the benchmark; disposing of it ends it. Ctrl-C in the terminal does not reach it, the bench's signal does. */
export interface RunningProcess extends AsyncDisposable {
  readonly pid: number;
}

export interface RunningServer extends RunningProcess {
  readonly port: number;
}

export interface LoadGenerator extends RunningProcess {
  /** Does one job at a time. */
  readonly run: <T extends Job>(job: T) => Promise<OutcomeOf<T>>;
}

export interface RsaReference extends RunningProcess {
  /** Operations a second. */
  readonly run: (job: RsaJob) => Promise<number>;
}

export async function startWorkload(bench: Bench): Promise<RunningServer> {
  return await startServer(bench, "workload.ts");
}

export async function startReferenceProxy(bench: Bench, workload: RunningServer): Promise<RunningServer> {
  return await startServer(bench, "reference-proxy.ts", `http://127.0.0.1:${workload.port}`);
}

export async function startLoadGenerator(bench: Bench): Promise<LoadGenerator> {
  const started = startProcess(bench, "load-generator.ts");
  return {
    ...started,
    run: async <T extends Job>(job: T) => (await ask(bench, started, job)) as OutcomeOf<T>,
  };
}

export async function startRsaReference(bench: Bench): Promise<RsaReference> {
  const started = startProcess(bench, "rsa-reference.ts");
  return { ...started, run: async (job) => (await ask(bench, started, job)) as number };
}

/**
 * Starts our proxy as its image does, from one file, with a key of its own and logging as it is by default, to a file.
 *
 * @param encryption  of both directions
 */
export async function startPolarisProxy(
  bench: Bench,
  workload: RunningServer,
  encryption: "off" | "optional",
): Promise<RunningServer> {
  const path = join(bench.tempDir, "polaris-proxy.log");
  const log = await open(path, "w");
  const environment = {
    ...cacheEnvironment(bench),
    POLARIS_PROXY_HOST: "127.0.0.1",
    POLARIS_PROXY_PORT: "0",
    POLARIS_PROXY_WORKLOAD_URL: `http://127.0.0.1:${workload.port}`,
    POLARIS_PROXY_ENCRYPT_REQUESTS: encryption,
    POLARIS_PROXY_ENCRYPT_RESPONSES: encryption,
  };
  const child = spawn(process.execPath, [...PROXY_NODE_FLAGS, await bundle(bench)], {
    env: environment,
    detached: true,
    stdio: ["ignore", log.fd, "pipe"],
  });
  const started = watch(bench, child, "polaris-proxy");
  await log.close();
  try {
    return { ...started, port: await readPort(started, path) };
  } catch (error) {
    await started[Symbol.asyncDispose]();
    throw error;
  }
}

async function bundle({ tempDir }: Bench): Promise<string> {
  const path = join(tempDir, "polaris-proxy.mjs");
  const { code } = await bundleProxy();
  await writeFile(path, code);
  return path;
}

/** The proxy says in its log where it listens. */
async function readPort({ fault }: Watched, path: string): Promise<number> {
  const giveUpMs = performance.now() + START_LIMIT_MS;
  while (performance.now() < giveUpMs) {
    const line = /^\{.*"event":"listening".*\}$/m.exec(await readFile(path, "utf8"))?.[0];
    if (line !== undefined) return (JSON.parse(line) as { port: number }).port;
    await Promise.race([fault, wait(LOOK_MS)]);
  }
  throw new Error(`polaris-proxy did not listen within ${START_LIMIT_MS} ms`);
}

interface Watched extends RunningProcess {
  readonly child: ChildProcess;
  /** Rejects when the process has ended, or the bench has. */
  readonly fault: Promise<never>;
}

function startProcess(bench: Bench, file: string, ...given: string[]): Watched {
  const child = spawn(process.execPath, [join(import.meta.dirname, file), ...given], {
    env: cacheEnvironment(bench),
    detached: true,
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  return watch(bench, child, file);
}

/** Without it, taking the types out of the sources costs every process some 20 MiB. */
function cacheEnvironment({ tempDir }: Bench): Record<string, string> {
  return { NODE_COMPILE_CACHE: tempDir };
}

async function startServer(bench: Bench, file: string, ...given: string[]): Promise<RunningServer> {
  const started = startProcess(bench, file, ...given);
  const [port] = (await Promise.race([once(started.child, "message"), started.fault])) as [number];
  return { ...started, port };
}

function watch(bench: Bench, child: ChildProcess, name: string): Watched {
  const { promise: fault, reject } = Promise.withResolvers<never>();
  // Nobody may be waiting when it comes.
  fault.catch(() => undefined);
  let stderr = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr = (stderr + text).slice(-2_000)));
  child.once("error", reject);
  child.once("close", (exitCode, signal) => {
    reject(new Error(`${name} ended with ${signal ?? `exit code ${exitCode}`}: ${stderr.trim()}`));
  });
  bench.signal.addEventListener("abort", () => reject(bench.signal.reason as Error), { once: true });
  const stopEnding = endOnAbort(bench.signal, child);
  return {
    child,
    fault,
    pid: child.pid ?? 0,
    async [Symbol.asyncDispose]() {
      await end(child);
      stopEnding();
    },
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const closed = once(child, "close");
  const killTimer = setTimeout(() => child.kill("SIGKILL"), END_LIMIT_MS);
  child.kill("SIGTERM");
  await closed;
  clearTimeout(killTimer);
}

async function ask(bench: Bench, { child, fault }: Watched, job: object): Promise<unknown> {
  bench.signal.throwIfAborted();
  const answered = once(child, "message");
  child.send(job);
  const [answer] = (await Promise.race([answered, fault])) as [{ outcome?: unknown; failure?: string }];
  if (answer.failure !== undefined) throw new Error(answer.failure);
  return answer.outcome;
}
