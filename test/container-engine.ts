import { execFile, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

/** For the `skip` of a test: why no engine can be started here, or false. */
export const ENGINE_MISSING =
  process.platform !== "linux"
    ? "containers are run on Linux only"
    : process.getuid?.() !== 0
      ? "only root can start dockerd"
      : existsSync("/usr/sbin/dockerd") || existsSync("/usr/bin/dockerd")
        ? false
        : "dockerd (Debian's docker.io) is not installed here";

/** A Docker of a test's own. */
export interface TestEngine {
  /** `DOCKER_HOST` of its clients. */
  readonly host: string;
  /** What one command of its client prints. */
  docker(...args: readonly string[]): Promise<string>;
  stop(): Promise<void>;
}

/** How long dockerd may take to answer, in milliseconds. */
const START_MS = 30_000;

/**
 * Starts dockerd with everything in a folder of its own. The machine's packet filter stays as it is: another daemon, or whoever
 * works here, has rules in it.
 *
 * @returns the engine, or why it did not start
 */
export async function startEngine(): Promise<TestEngine | string> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-dockerd-"));
  const host = `unix://${folder}/docker.sock`;
  const daemon = spawn(
    "dockerd",
    [
      "--host",
      host,
      "--data-root",
      join(folder, "data"),
      "--exec-root",
      join(folder, "exec"),
      "--pidfile",
      join(folder, "pid"),
      "--storage-driver",
      "vfs",
      "--bridge",
      "none",
      "--iptables=false",
      "--ip6tables=false",
      "--default-address-pool",
      "base=10.213.0.0/16,size=24",
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  let log = "";
  daemon.stderr.setEncoding("utf8").on("data", (text: string) => {
    log = (log + text).slice(-4096);
  });
  const docker = async (...args: readonly string[]): Promise<string> => {
    const { stdout } = await run("docker", args, {
      env: { PATH: process.env["PATH"] ?? "", HOME: folder, DOCKER_HOST: host },
      timeout: 60_000,
    });
    return stdout.trimEnd();
  };
  const stop = async (): Promise<void> => {
    await endDaemon(daemon);
    await unmountBelow(folder);
    await rm(folder, { recursive: true, force: true });
  };
  if (await isAnswering(daemon, docker)) return { host, docker, stop };
  await stop();
  return `dockerd does not start here: ${log.trim().split("\n").at(-1) ?? ""}`;
}

async function isAnswering(daemon: ChildProcess, docker: TestEngine["docker"]): Promise<boolean> {
  const deadlineMs = performance.now() + START_MS;
  while (performance.now() < deadlineMs && daemon.exitCode === null && daemon.signalCode === null) {
    const answer = await docker("version", "--format", "{{.Server.Version}}").catch(() => "");
    if (answer !== "") return true;
    await sleep(100);
  }
  return false;
}

/** SIGTERM lets it end its containerd too. */
async function endDaemon(daemon: ChildProcess): Promise<void> {
  if (daemon.exitCode !== null || daemon.signalCode !== null) return;
  const ended = once(daemon, "exit");
  daemon.kill("SIGTERM");
  const timer = setTimeout(() => daemon.kill("SIGKILL"), 20_000);
  await ended;
  clearTimeout(timer);
}

/** Network namespaces and the like, which a daemon leaves mounted. */
async function unmountBelow(folder: string): Promise<void> {
  const mounts = await readFile("/proc/mounts", "utf8");
  const targets = mounts.split("\n").map((line) => line.split(" ")[1] ?? "");
  for (const target of targets.filter((path) => path.startsWith(`${folder}/`)).toReversed()) {
    await run("umount", ["--lazy", target]).catch(() => undefined);
  }
}
