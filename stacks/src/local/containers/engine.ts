import { execFile } from "node:child_process";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { errnoOf } from "../../atomic-file.ts";

export const ENGINE_NAMES = ["docker", "podman"] as const;

/** A program that runs containers; both take the same commands. */
export type EngineName = (typeof ENGINE_NAMES)[number];

/** An engine that has answered. */
export interface ContainerEngine {
  readonly name: EngineName;
  /** As it says it itself, for people. */
  readonly version: string;
}

/** How long an engine may take to say its version. One that hangs is as good as none. */
const VERSION_TIMEOUT_MS = 5_000;

/** How long one of the quick commands may take, in milliseconds; removing a container is the longest of them. */
const COMMAND_TIMEOUT_MS = 60_000;

/** Far above any answer that is read; the longest are lists of containers. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

/** What each engine is asked to show that its service, and not the program alone, is there. */
const VERSION_QUESTIONS: Readonly<Record<EngineName, readonly string[]>> = {
  docker: ["version", "--format", "{{.Server.Version}}"],
  podman: ["info", "--format", "{{.Version.Version}}"],
};

/**
 * The first of some engines that answers.
 *
 * @returns undefined if none does
 */
export async function findEngine(
  names: readonly EngineName[],
  signal?: AbortSignal,
): Promise<ContainerEngine | undefined> {
  for (const name of names) {
    const engine = await askEngine(name, signal);
    if (engine !== undefined) return engine;
  }
  return undefined;
}

/**
 * The engine that is to run a stack's image.
 *
 * @param wanted  of the configuration; `auto`: the first that answers
 * @throws {PolarisError} CONTAINER_ENGINE_UNAVAILABLE
 */
export async function requireEngine(
  wanted: EngineName | "auto" | "process",
  signal?: AbortSignal,
): Promise<ContainerEngine> {
  if (process.platform !== "linux") {
    throw new PolarisError(
      "CONTAINER_ENGINE_UNAVAILABLE",
      `the local target runs images on Linux only, this is ${process.platform}`,
      {
        hint: "elsewhere engines run in a virtual machine that Unix sockets do not lead into; name a program under targets.local.run",
      },
    );
  }
  const names = wanted === "docker" || wanted === "podman" ? [wanted] : ENGINE_NAMES;
  const engine = await findEngine(names, signal);
  if (engine !== undefined) return engine;
  throw new PolarisError("CONTAINER_ENGINE_UNAVAILABLE", `no container engine answers: ${names.join(", ")}`, {
    hint:
      wanted === "auto"
        ? `start Docker or Podman (does "docker version" work?), or name a program under targets.local.run`
        : `does "${names[0]} version" work? Start it, or choose another targets.local.engine`,
  });
}

async function askEngine(name: EngineName, signal?: AbortSignal): Promise<ContainerEngine | undefined> {
  try {
    const answer = await runEngine(name, VERSION_QUESTIONS[name], {
      timeoutMs: VERSION_TIMEOUT_MS,
      ...(signal !== undefined && { signal }),
    });
    const version = answer.trim();
    return /^[\w.+~:-]{1,64}$/.test(version) ? { name, version } : undefined;
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof PolarisError) return undefined;
    throw error;
  }
}

/**
 * Runs one command of an engine and gives what it prints. The engine gets this process's environment: where its service is,
 * and, for the variables that `--env NAME` names, their values.
 *
 * @throws {PolarisError} CONTAINER_ENGINE_FAILED with what the engine says of it
 */
export async function runEngine(
  name: EngineName,
  args: readonly string[],
  {
    timeoutMs = COMMAND_TIMEOUT_MS,
    signal,
  }: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  execFile(
    name,
    args,
    {
      timeout: timeoutMs,
      killSignal: "SIGKILL",
      maxBuffer: MAX_ANSWER_BYTES,
      ...(signal !== undefined && { signal }),
    },
    (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(describeFailure(name, args, { error, stderr, timeoutMs }));
    },
  );
  try {
    return await promise;
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

/** The command's name alone, and the engine's own words: its arguments are many, and say nothing to people. */
function describeFailure(
  name: EngineName,
  [command = "", ...rest]: readonly string[],
  {
    error,
    stderr,
    timeoutMs,
  }: { readonly error: Error; readonly stderr: string; readonly timeoutMs: number },
): PolarisError {
  const what = ["image", "network", "container"].includes(command) ? `${command} ${rest[0] ?? ""}` : command;
  const words = stderr.trim().split("\n").at(-1)?.slice(0, 500) ?? "";
  const wasKilled = "killed" in error && error.killed === true;
  const reason =
    errnoOf(error) === "ENOENT"
      ? "there is no such program"
      : wasKilled
        ? `no answer within ${timeoutMs / 1000} s`
        : words || "it says nothing";
  return new PolarisError("CONTAINER_ENGINE_FAILED", `${name} ${what} failed: ${reason}`);
}
