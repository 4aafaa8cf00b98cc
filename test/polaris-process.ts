import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const POLARIS = fileURLToPath(new URL("../cli/bin/polaris.js", import.meta.url));
const EXAMPLE = fileURLToPath(new URL("../examples/hello/", import.meta.url));

/** What a finished `polaris` left behind. */
export interface Finished {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningPolaris {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
  /** Resolves when stdout and stderr together match, rejects if the command ends before. */
  output(pattern: RegExp): Promise<void>;
}

/** A project folder of its own, with every stack in it destroyed at the end. */
export class TestProject {
  readonly dir: string;

  private constructor(dir: string) {
    this.dir = dir;
  }

  /** `examples/hello` in a new folder, with other files in place of its own where given. */
  static async create(files: Readonly<Record<string, string>> = {}): Promise<TestProject> {
    const dir = await mkdtemp(join(tmpdir(), "polaris-test-"));
    await cp(EXAMPLE, dir, {
      recursive: true,
      filter: (source) => !source.includes("/.polaris") && !source.endsWith("polaris.lock"),
    });
    for (const [name, content] of Object.entries(files)) await writeFile(join(dir, name), content);
    return new TestProject(dir);
  }

  start(args: readonly string[], env: Readonly<Record<string, string>> = {}): RunningPolaris {
    return startPolaris(args, this.dir, env);
  }

  async run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Finished> {
    return this.start(args, env).finished;
  }

  /** Runs with --json and gives the one document. */
  async json(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<JsonDocument> {
    const { stdout, stderr } = await this.run([...args, "--json"], env);
    try {
      return JSON.parse(stdout) as JsonDocument;
    } catch {
      throw new Error(`no JSON document on stdout: ${stdout}\n${stderr}`);
    }
  }

  /** Ends what runs and removes the folder. */
  async remove(stacks: readonly string[] = ["default"]): Promise<void> {
    for (const stack of stacks) await this.run(["destroy", "--yes", "--stack", stack, "--wait", "30s"]);
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** The JSON document of every command (docs/cli.md). */
export interface JsonDocument {
  readonly schemaVersion: number;
  readonly command: string;
  readonly ok: boolean;
  readonly stack: string | null;
  readonly target: string | null;
  // What is in it belongs to the command; tests assert the values that they name.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly data: any;
  readonly warnings: readonly { readonly code: string; readonly message: string }[];
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly hint: string | null;
    readonly exitCode: number;
    // oxlint-disable-next-line typescript/no-explicit-any
    readonly details: any;
  } | null;
}

export function startPolaris(
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): RunningPolaris {
  const child = spawn(process.execPath, [POLARIS, ...args], {
    cwd,
    env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "/tmp", NO_COLOR: "1", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  const listeners = new Set<() => void>();
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    for (const listener of listeners) listener();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    for (const listener of listeners) listener();
  });
  const finished = once(child, "close").then(([exitCode, signal]): Finished => ({
    exitCode: exitCode as number | null,
    signal: signal as NodeJS.Signals | null,
    stdout,
    stderr,
  }));
  return {
    child,
    finished,
    output: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (!pattern.test(stdout + stderr)) return;
          listeners.delete(look);
          resolve();
        };
        listeners.add(look);
        void finished.then(() => reject(new Error(`ended before ${String(pattern)}:\n${stdout}${stderr}`)));
        look();
      }),
  };
}

/**
 * Processes of this machine that belong to a project: their command line, working folder or environment names it.
 * Linux only: reads /proc.
 */
export async function processesOf(dir: string): Promise<number[]> {
  const found: number[] = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    const text = await readFile(`/proc/${entry}/cmdline`, "utf8").catch(() => "");
    const environment = await readFile(`/proc/${entry}/environ`, "utf8").catch(() => "");
    const folder = await readlink(`/proc/${entry}/cwd`).catch(() => "");
    const state = await readFile(`/proc/${entry}/stat`, "utf8").catch(() => "");
    const isZombie = /\) Z /.test(state);
    if (!isZombie && [text, environment, folder].some((place) => place.includes(dir)))
      found.push(Number(entry));
  }
  return found;
}
