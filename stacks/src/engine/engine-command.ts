import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import type { PulumiCommand } from "@pulumi/pulumi/automation/cmd.js";
import type { Engine } from "./find-engine.ts";

/** When a run of the engine has to end before it is done. */
export interface StopSignals {
  /** Ends after the step that runs: the engine is told once, by SIGINT. */
  readonly gently: AbortSignal;
  /** Ends now: the engine is told again and, if that takes too long, killed. */
  readonly now: AbortSignal;
}

/** A run of the engine that ended with anything but success. */
export class EngineExit extends Error {
  override readonly name = "EngineExit";
  readonly stdout: string;
  readonly stderr: string;
  /** Null after a signal. */
  readonly exitCode: number | null;

  constructor(command: string, output: { stdout: string; stderr: string; exitCode: number | null }) {
    // Not the arguments nor the output: they are long, and may hold what is secret.
    super(`pulumi ${command} ended with ${output.exitCode ?? "a signal"}`);
    this.stdout = output.stdout;
    this.stderr = output.stderr;
    this.exitCode = output.exitCode;
  }
}

interface EngineOutput {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}

/** The commands that change or plan something and take long; the others take a second or two. */
const OPERATIONS: ReadonlySet<string> = new Set(["preview", "up", "refresh", "destroy"]);

/** For a look at a stack in a bucket far away, in milliseconds. */
const SHORT_COMMAND_TIMEOUT_MS = 120_000;

/** For a provider plugin of some 200 MB. */
const PLUGIN_TIMEOUT_MS = 15 * 60_000;

/** What the engine may take to write its state down after it was told to stop now, in milliseconds. */
const STOP_NOW_GRACE_MS = 5_000;

const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;

/**
 * The engine's program as Pulumi's automation API wants it, but run by us. The API's own way of running it gives the engine
 * every variable of this process, lets a terminal's Ctrl-C reach it behind our back, and cannot kill it.
 *
 * @param onOutput  what an operation says on its two streams; other commands may print secrets, and are not told
 */
export function createEngineCommand(
  engine: Engine,
  stop: StopSignals,
  onOutput: (text: string) => void,
): PulumiCommand {
  const command = {
    command: engine.path,
    version: { toString: () => engine.version },
    run: (
      args: readonly string[],
      cwd: string,
      env: Readonly<Record<string, string>>,
      tellOutput?: (text: string) => void,
    ): Promise<EngineOutput> | EngineOutput =>
      isHistory(args)
        ? NO_HISTORY
        : runEngine(engine.path, [...args, "--non-interactive"], { cwd, env, stop, onOutput, tellOutput }),
  };
  // Its constructor is private and `run` not in its declaration; a test with the real engine goes through all that is called.
  return command as unknown as PulumiCommand;
}

/** After each operation the API asks for the history of the stack: half a second for what nobody reads. */
function isHistory(args: readonly string[]): boolean {
  return args[0] === "stack" && args[1] === "history";
}

const NO_HISTORY: EngineOutput = { stdout: "[]", stderr: "", code: 0 };

interface RunOptions {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly stop: StopSignals;
  readonly onOutput: (text: string) => void;
  readonly tellOutput: ((text: string) => void) | undefined;
}

async function runEngine(path: string, args: readonly string[], options: RunOptions): Promise<EngineOutput> {
  const [name = ""] = args;
  const isOperation = OPERATIONS.has(name);
  options.stop.now.throwIfAborted();
  if (isOperation) options.stop.gently.throwIfAborted();
  const child = spawn(path, args, {
    cwd: options.cwd,
    env: options.env,
    // A process group of its own: what a terminal sends reaches this process alone, which decides what it means.
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const release = holdChild(child, isOperation, name, options.stop);
  try {
    const [stdout, stderr, exitCode] = await Promise.all([
      collect(child.stdout, (text) => {
        options.tellOutput?.(text);
        if (isOperation) options.onOutput(text);
      }),
      collect(child.stderr, isOperation ? options.onOutput : () => {}),
      exitOf(child),
    ]);
    if (exitCode !== 0) throw new EngineExit(name, { stdout, stderr, exitCode });
    return { stdout, stderr, code: exitCode };
  } finally {
    release();
  }
}

/** Passes our signals on, and sees to it that the engine does not outlive this process. */
function holdChild(child: ChildProcess, isOperation: boolean, name: string, stop: StopSignals): () => void {
  const timers: NodeJS.Timeout[] = [];
  const endGently = (): void => void child.kill("SIGINT");
  const endNow = (): void => {
    if (!isOperation) return killGroup(child);
    // Its second signal: it waits for nothing more, but still writes down what it has done.
    child.kill("SIGTERM");
    timers.push(setTimeout(() => killGroup(child), STOP_NOW_GRACE_MS));
  };
  const killAtExit = (): void => killGroup(child);
  if (isOperation) stop.gently.addEventListener("abort", endGently, { once: true });
  else {
    const timeoutMs = name === "plugin" ? PLUGIN_TIMEOUT_MS : SHORT_COMMAND_TIMEOUT_MS;
    timers.push(setTimeout(() => killGroup(child), timeoutMs));
  }
  stop.now.addEventListener("abort", endNow, { once: true });
  process.once("exit", killAtExit);
  return () => {
    for (const timer of timers) clearTimeout(timer);
    stop.gently.removeEventListener("abort", endGently);
    stop.now.removeEventListener("abort", endNow);
    process.off("exit", killAtExit);
  };
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // It ended by itself in this very moment.
  }
}

async function collect(stream: NodeJS.ReadableStream, tell: (text: string) => void): Promise<string> {
  stream.setEncoding("utf8");
  const pieces: string[] = [];
  let length = 0;
  for await (const piece of stream as AsyncIterable<string>) {
    tell(piece);
    length += piece.length;
    // What is too much is not kept; it is read all the same, or the engine would wait for ever.
    if (length <= MAX_OUTPUT_BYTES) pieces.push(piece);
  }
  return pieces.join("");
}

async function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => resolve(code));
  });
}
