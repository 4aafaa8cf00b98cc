import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdirSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const POLARIS = fileURLToPath(new URL("../cli/bin/polaris.js", import.meta.url));

/** Longest life of one process. */
const TIMEOUT_MS = 30_000;

/** From SIGTERM to SIGKILL: `polaris` ends cleanly at the first. */
const GRACE_MS = 5_000;

export interface RunOptions {
  readonly cwd: string;
  /** Ends the process. */
  readonly signal: AbortSignal;
}

export interface Run {
  /** From just before the start to the end of its output. */
  readonly elapsedMs: number;
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** When each whole line of stdout came, since just before the start. */
  readonly lines: readonly { readonly text: string; readonly atMs: number }[];
}

/** Runs `polaris`; compiled modules are cached in `cwd`/.. where nobody else's are (see {@link environment}). */
export async function runPolaris(args: readonly string[], options: RunOptions): Promise<Run> {
  return runNode([POLARIS, ...args], options);
}

/**
 * Runs this very Node. Rejects with the signal's reason if that ended it.
 * No output of it is ours, and no signal from the terminal reaches it: it is in a process group of its own.
 */
export async function runNode(args: readonly string[], { cwd, signal }: RunOptions): Promise<Run> {
  signal.throwIfAborted();
  const env = environment(cwd);
  const startedMs = performance.now();
  const child = spawn(process.execPath, args, {
    cwd,
    env,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const { promise: closed, resolve, reject } = Promise.withResolvers<number | null>();
  child.once("error", reject).once("close", resolve);
  const lines: { text: string; atMs: number }[] = [];
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    const atMs = performance.now() - startedMs;
    const [first = "", ...others] = text.split("\n");
    const begun = stdout.slice(stdout.lastIndexOf("\n") + 1);
    const whole = others.length === 0 ? [] : [begun + first, ...others.slice(0, -1)];
    for (const line of whole) lines.push({ text: line, atMs });
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));

  const ending = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  const stopEnding = endOn(ending, child);
  try {
    const exitCode = await closed;
    const elapsedMs = performance.now() - startedMs;
    ending.throwIfAborted();
    return { elapsedMs, exitCode, stdout, stderr, lines };
  } finally {
    stopEnding();
  }
}

/** The run if it went well. */
export function requireSuccess(run: Run, what: string): Run {
  if (run.exitCode === 0) return run;
  const said = `${run.stdout}\n${run.stderr}`.trim().split("\n").slice(-10).join("\n");
  throw new Error(`${what} ended with exit code ${run.exitCode}:\n${said}`);
}

function endOn(signal: AbortSignal, child: ChildProcess): () => void {
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
 * What `polaris` needs of a shell, and a TMPDIR of its own: there Node keeps the compiled modules, so a first run has
 * none of them, a second one has all, and what is measured is what users have.
 */
function environment(cwd: string): Record<string, string> {
  const TMPDIR = join(dirname(cwd), "tmp");
  mkdirSync(TMPDIR, { recursive: true });
  const { PATH = "", HOME = "/" } = process.env as Record<string, string | undefined>;
  return { PATH: [dirname(process.execPath), PATH].join(delimiter), HOME, TMPDIR, NO_COLOR: "1" };
}
