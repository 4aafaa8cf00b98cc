/**
 * One container as a process: `node run-container.ts <config.json>`. Creates the container, passes on what it prints, ends
 * it on SIGTERM, and removes it when it has ended; then exits with its exit code. What a killed run has left is removed
 * first.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { Server } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { isPolarisError, PolarisError } from "@polaris-cvm/sdk/errors";
import { loadContainerConfig } from "./container-config.ts";
import type { ContainerConfig } from "./container-config.ts";
import { createArguments } from "./create-arguments.ts";
import { runEngine } from "./engine.ts";
import { removeContainers, STOP_SECONDS } from "./left-containers.ts";

/** How often to ask whether a container that was started is running. */
const POLL_MS = 50;

/** How a container is doing, as the engine tells it. */
interface ContainerState {
  readonly status: string;
  readonly exitCode: number;
  readonly error: string;
}

async function main(configPath: string | undefined): Promise<number> {
  if (configPath === undefined) throw new Error("usage: run-container.ts <config.json>");
  const config = await loadContainerConfig(configPath);
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stop.abort());
  await removeAll(config);
  try {
    return await runContainer(config, stop.signal);
  } finally {
    await removeAll(config);
  }
}

async function removeAll({ engine, stackId, part }: ContainerConfig): Promise<void> {
  await removeContainers(engine, { stackId, part });
}

/** @returns the container's exit code */
async function runContainer(config: ContainerConfig, stop: AbortSignal): Promise<number> {
  const { engine } = config;
  // Not aborted by the stop: a container that is being created would be there without anybody knowing its id.
  const id = (await runEngine(engine, createArguments(config))).trim();
  for (const network of config.networks.slice(1)) {
    await runEngine(engine, ["network", "connect", network, id]);
  }
  if (stop.aborted) return 0;

  const attached = spawn(engine, ["start", "--attach", id], {
    stdio: ["ignore", "inherit", "inherit"],
    // Out of the group that gets our signals: what the container prints while it ends is to be read too.
    detached: true,
  });
  const detached = once(attached, "exit");
  const announced = announce(config, id, attached);
  const [ready] = await Promise.all([
    announced,
    detached,
    endOnStop(config, id, { stop, announced, detached }),
  ]);
  ready?.close();

  const state = await inspect(config, id);
  if (state.error !== "") throw new PolarisError("CONTAINER_ENGINE_FAILED", `${engine}: ${state.error}`);
  if (state.status !== "exited" && state.status !== "dead") {
    // It has said why itself, on the same stream as the container.
    throw new PolarisError(
      "CONTAINER_ENGINE_FAILED",
      `${engine} start ended, and the container is ${state.status}`,
    );
  }
  return state.exitCode;
}

/**
 * Listens at the socket as soon as the container runs: that is what makes the part ready. Not a file: one that a killed run
 * has left would say so of a container that nobody looks after. Ends also if the container never runs.
 */
async function announce(
  config: ContainerConfig,
  id: string,
  attached: ChildProcess,
): Promise<Server | undefined> {
  while (attached.exitCode === null && attached.signalCode === null) {
    const { status } = await inspect(config, id);
    if (status === "running") return await listen(config.readySocket);
    if (status !== "created" && status !== "initialized") return undefined;
    await sleep(POLL_MS);
  }
  return undefined;
}

async function listen(path: string): Promise<Server> {
  await rm(path, { force: true });
  const server = createServer((socket) => socket.destroy()).listen(path);
  await once(server, "listening");
  return server;
}

/** Stops the container once it is asked for. One that has not begun to run yet is waited for: it could not be stopped. */
async function endOnStop(
  { engine }: ContainerConfig,
  id: string,
  until: {
    readonly stop: AbortSignal;
    readonly announced: Promise<unknown>;
    readonly detached: Promise<unknown>;
  },
): Promise<void> {
  await until.announced;
  const { promise: asked, resolve } = Promise.withResolvers<void>();
  until.stop.addEventListener("abort", () => resolve(), { once: true });
  if (until.stop.aborted) resolve();
  await Promise.race([asked, until.detached]);
  if (until.stop.aborted) await runEngine(engine, ["stop", "-t", String(STOP_SECONDS), id]);
}

async function inspect({ engine }: ContainerConfig, id: string): Promise<ContainerState> {
  const format = "{{.State.Status}}\t{{.State.ExitCode}}\t{{.State.Error}}";
  const [status = "", exitCode = "", error = ""] = (
    await runEngine(engine, ["inspect", "--format", format, id])
  )
    .trimEnd()
    .split("\t");
  return { status, exitCode: Number(exitCode), error };
}

try {
  process.exitCode = await main(process.argv[2]);
} catch (error) {
  if (!isPolarisError(error)) throw error;
  process.stderr.write(`${error.code}: ${error.message}\n`);
  // Whatever is still open.
  process.exit(1);
}
