import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { delimiter, dirname } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Bench } from "./measure.ts";

const POLARIS = fileURLToPath(new URL("../cli/bin/polaris.js", import.meta.url));

/** Longest life of one process. */
const TIMEOUT_MS = 30_000;

/** From SIGTERM to SIGKILL: `polaris` ends cleanly at the first. */
const GRACE_MS = 5_000;

export interface Run {
  /** From just before the start to the end of its output. */
  readonly elapsedMs: number;
  /** Standard output, each line with when it came, counted from just before the start. */
  readonly lines: readonly Line[];
}

export interface Line {
  readonly text: string;
  readonly atMs: number;
}

/** The process ended, and not as it should. */
export class RunError extends Error {
  readonly exitCode: number | null;

  constructor(args: readonly string[], exitCode: number | null, output: string) {
    const lastLines = output.trim().split("\n").slice(-10).join("\n");
    super(`node ${args.join(" ")} ended with exit code ${exitCode}:\n${lastLines}`);
    this.exitCode = exitCode;
  }
}

/** Runs the `polaris` of this repository, see {@link runNode}. */
export async function runPolaris(bench: Bench, args: readonly string[], cwd = bench.tempDir): Promise<Run> {
  return runNode(bench, [POLARIS, ...args], cwd);
}

/**
 * Runs this very Node and waits for its end. Ctrl-C in the terminal does not reach it, only the bench's signal does.
 *
 * @throws {RunError} if the exit code is not 0
 * @throws {Error} if it takes too long; the signal's reason if that ended it
 */
export async function runNode(bench: Bench, args: readonly string[], cwd = bench.tempDir): Promise<Run> {
  bench.signal.throwIfAborted();
  const env = environment(bench);
  const startedMs = performance.now();
  const child = spawn(process.execPath, args, {
    cwd,
    env,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const { promise: closed, resolve, reject } = Promise.withResolvers<number | null>();
  child.once("error", reject).once("close", resolve);
  const lines: Line[] = [];
  createInterface({ input: child.stdout }).on("line", (text) => {
    lines.push({ text, atMs: performance.now() - startedMs });
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));

  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const stopEnding = endOnAbort(AbortSignal.any([bench.signal, timeout]), child);
  try {
    const exitCode = await closed;
    const elapsedMs = performance.now() - startedMs;
    bench.signal.throwIfAborted();
    if (timeout.aborted) throw new Error(`node ${args.join(" ")} did not end in ${TIMEOUT_MS} ms`);
    const output = [...lines.map(({ text }) => text), stderr].join("\n");
    if (exitCode !== 0) throw new RunError(args, exitCode, output);
    return { elapsedMs, lines };
  } finally {
    stopEnding();
  }
}

/** Ends a process when the signal is aborted, until the function that it returns is called. */
export function endOnAbort(signal: AbortSignal, child: ChildProcess): () => void {
  let killTimer: NodeJS.Timeout | undefined;
  const end = (): void => {
    child.kill("SIGTERM");
    killTimer = setTimeout(() => child.kill("SIGKILL"), GRACE_MS);
  };
  signal.addEventListener("abort", end, { once: true });
  return () => {
    signal.removeEventListener("abort", end);
    clearTimeout(killTimer);
  };
}

/**
 * What `polaris` needs of a shell, with a XDG_CACHE_HOME of our own: that is where it keeps its compiled modules, so that a
 * figure's first run has none of them, its second has all, and nobody's earlier runs matter.
 */
function environment({ tempDir }: Bench): Record<string, string> {
  const { PATH = "", HOME = "/" }: Record<string, string | undefined> = process.env;
  return { PATH: dirname(process.execPath) + delimiter + PATH, HOME, XDG_CACHE_HOME: tempDir, NO_COLOR: "1" };
}
