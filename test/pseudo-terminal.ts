import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const POLARIS = fileURLToPath(new URL("../cli/bin/polaris.js", import.meta.url));

/** Python's way to run the command that follows in a terminal of its own, with its exit code. */
const PYTHON = "import os,pty,sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";

const LONGEST_SESSION_MS = 30_000;

type WrapCommand = (words: readonly string[]) => readonly string[];

/** What gives a program a terminal here: util-linux's `script`, otherwise Python; undefined if there is neither. */
const wrapCommand = findTerminal();

/** Why a test that needs a terminal cannot run here, or false. */
export const NO_TERMINAL = wrapCommand === undefined && "neither script nor python3 can make a terminal here";

/** `polaris` in front of a person: stdin, stdout and stderr are one terminal. */
export interface TerminalSession {
  /** Resolves when what is on the screen after the last match matches; rejects if the command ends before. */
  screen(pattern: RegExp): Promise<void>;
  type(keys: string): void;
  /** What the terminal got, colours included; resolves at the end of the command. */
  readonly finished: Promise<{ readonly exitCode: number | null; readonly text: string }>;
}

export const CONTROL_C = "\u0003";
export const ENTER = "\r";
export const ARROW_DOWN = "\u001B[B";

export function startInTerminal(
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): TerminalSession {
  const [command = "", ...words] = wrapCommand?.([process.execPath, POLARIS, ...args]) ?? [];
  const child = spawn(command, words, {
    cwd,
    env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "/tmp", TERM: "xterm", ...env },
    stdio: ["pipe", "pipe", "inherit"],
    // A question that is not the expected one would wait for ever; without its terminal the command ends too.
    timeout: LONGEST_SESSION_MS,
    killSignal: "SIGKILL",
  });
  let text = "";
  let seen = 0;
  const listeners = new Set<() => void>();
  child.stdout.setEncoding("utf8").on("data", (piece: string) => {
    text += piece;
    for (const listener of listeners) listener();
  });
  const finished = once(child, "close").then(([exitCode]) => ({ exitCode: exitCode as number | null, text }));
  return {
    finished,
    type: (keys) => child.stdin.write(keys),
    screen: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const match = pattern.exec(text.slice(seen));
          if (match === null) return;
          seen += match.index + match[0].length;
          listeners.delete(look);
          resolve();
        };
        listeners.add(look);
        void finished.then(() => reject(new Error(`ended before ${String(pattern)}:\n${text}`)));
        look();
      }),
  };
}

function findTerminal(): WrapCommand | undefined {
  const ways: readonly WrapCommand[] = [
    (words) => ["script", "-qec", words.map(quote).join(" "), "/dev/null"],
    (words) => ["python3", "-c", PYTHON, ...words],
  ];
  // To be there is not enough: a container may have no pseudo terminals.
  return ways.find((wrap) => {
    const [command = "", ...words] = wrap(["sh", "-c", "test -t 0 && exit 7"]);
    return spawnSync(command, words, { input: "", stdio: ["pipe", "ignore", "ignore"] }).status === 7;
  });
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'"'"'`)}'`;
}
