import { once } from "node:events";
import { createReadStream } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { addAbortSignal } from "node:stream";
import { isPolarisError, PolarisError } from "@polaris-cvm/sdk/errors";
import { createFileAtomic, errnoOf, writeFileAtomic } from "@polaris-cvm/stacks/atomic-file.ts";
import { formatElapsed, printError, printResultStream } from "./print.ts";
import type { CommandContext } from "./run-command.ts";

/** Where the bytes of a command go. */
export type DataOutput =
  | { readonly kind: "stdout" }
  | { readonly kind: "file"; readonly path: string; readonly replaces: boolean };

export interface OutputFlags {
  readonly output?: string;
  readonly force?: boolean;
  readonly json?: boolean;
  readonly jsonStream?: boolean;
}

/** Between two lines about how far a long work is. */
const PROGRESS_MS = 5_000;

/** The bytes of a file, or with `-` of standard input, until the signal. */
export async function* readInput(file: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const path = resolve(file);
  const stream = addAbortSignal(signal, file === "-" ? process.stdin : createReadStream(path));
  try {
    for await (const piece of stream) yield piece as Uint8Array;
  } catch (cause) {
    signal.throwIfAborted();
    throw unreadable(file === "-" ? "standard input" : path, cause);
  }
}

/**
 * Decides where the result goes, before any work is done for it.
 *
 * @throws {PolarisError} USAGE_INVALID if it would end on a terminal, in a JSON document, or in place of something else
 */
export async function planOutput({ output, force, json, jsonStream }: OutputFlags): Promise<DataOutput> {
  if (output === undefined || output === "-") {
    if (json === true || jsonStream === true) {
      throw new PolarisError("USAGE_INVALID", "standard output has the JSON document, not the data", {
        hint: "name a file for the data with --output",
      });
    }
    if (output === undefined && process.stdout.isTTY) {
      throw new PolarisError("USAGE_INVALID", "will not write data to a terminal", {
        hint: "name a file with --output, or say --output - if you mean the terminal",
      });
    }
    return { kind: "stdout" };
  }
  // A link is followed: what it names is replaced, not the link.
  const path = await realpath(output).catch(() => resolve(output));
  const found = await stat(path).catch(() => undefined);
  if (found !== undefined && !found.isFile()) {
    throw new PolarisError("USAGE_INVALID", `${path} is not a file`, { hint: "name a file with --output" });
  }
  if (found !== undefined && force !== true) throw alreadyThere(path);
  return { kind: "file", path, replaces: force === true };
}

/**
 * Writes the result: a file is there whole or not at all, standard output gets what comes as it comes.
 *
 * @param mode  of a new file, less what the umask takes away
 */
export async function writeOutput(
  output: DataOutput,
  chunks: AsyncIterable<Uint8Array>,
  mode: number,
  signal: AbortSignal,
): Promise<void> {
  if (output.kind === "stdout") return await writeToReader(chunks, signal);
  try {
    if (output.replaces) await writeFileAtomic(output.path, chunks, { mode });
    else if (!(await createFileAtomic(output.path, chunks, { mode }))) throw alreadyThere(output.path);
  } catch (error) {
    throw isDiskFull(error) ? withoutResumption(error) : error;
  }
}

/**
 * Data has an end that counts. So a reader of standard output who leaves before it is a failure, while everywhere else it ends
 * a command well.
 */
async function writeToReader(chunks: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
  // Before the listener of main.ts, which ends the process: with the exit code that stands then.
  process.stdout.prependListener("error", failWithReader);
  await printResultStream(chunks, signal);
  signal.throwIfAborted();
  const flushed = Promise.withResolvers<void>();
  process.stdout.write("", () => flushed.resolve());
  await Promise.race([flushed.promise, once(signal, "abort")]);
  signal.throwIfAborted();
}

function failWithReader(error: NodeJS.ErrnoException): void {
  if (error.code !== "EPIPE") return;
  const problem = new PolarisError(
    "STATE_UNWRITABLE",
    "standard output was closed before the end of the data: what went there is not whole, and was not checked to its end",
  );
  printError(problem, false);
  process.exitCode = problem.exitCode;
}

function isDiskFull(error: unknown): error is PolarisError {
  return isPolarisError(error) && ["ENOSPC", "EDQUOT"].includes(String(error.details?.["errno"]));
}

/** The advice for a stack is to go on; data starts at its beginning. */
function withoutResumption({ code, message, details = {}, cause }: PolarisError): PolarisError {
  const hint = "free some space, then run the command again: nothing of the file was kept";
  return new PolarisError(code, message, { hint, details, cause });
}

/** Counts bytes that pass, and says now and then how many they are by now. */
export function countBytes(
  context: CommandContext,
  verb: string,
): { readonly total: () => number; through(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> } {
  const startedAtMs = performance.now();
  let saidAtMs = startedAtMs;
  let bytes = 0;
  return {
    total: () => bytes,
    async *through(chunks) {
      for await (const chunk of chunks) {
        context.signal.throwIfAborted();
        bytes += chunk.length;
        const nowMs = performance.now();
        if (nowMs - saidAtMs >= PROGRESS_MS) {
          saidAtMs = nowMs;
          context.event("progress", { bytes });
          context.note(`[${formatElapsed(nowMs - startedAtMs).padStart(5)}] ${formatBytes(bytes)} ${verb}`);
        }
        yield chunk;
      }
    },
  };
}

/** `812 bytes`, `3.4 MiB`: an amount for people. */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} bytes`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(Math.floor(Math.log2(bytes) / 10), units.length);
  return `${(bytes / 1024 ** power).toFixed(1)} ${units[power - 1]}`;
}

/** A failure to read what the user named. */
export function unreadable(path: string, cause: unknown): PolarisError {
  const errno = errnoOf(cause);
  return new PolarisError("USAGE_INVALID", `cannot read ${path}${errno === undefined ? "" : ` (${errno})`}`, {
    cause,
  });
}

function alreadyThere(path: string): PolarisError {
  return new PolarisError("USAGE_INVALID", `${path} is there already`, { hint: "--force replaces it" });
}
