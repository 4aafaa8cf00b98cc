import { once } from "node:events";
import { styleText } from "node:util";
import { isPolarisError, PolarisError } from "@polaris-cvm/sdk/errors";

/** The result of a command: what a script wants. Nothing else is ever written to stdout. */
export function printResult(text: string): void {
  process.stdout.write(text.endsWith("\n") || text === "" ? text : `${text}\n`);
}

/**
 * Text of somebody else as one harmless line: an endpoint that is being checked must not be able to clear the screen and
 * draw a verdict of its own (C0, DEL, C1 and the marks that turn the direction of text).
 */
export function escapeControls(text: string): string {
  return text.replaceAll(
    /[\p{Cc}\p{Bidi_Control}]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Bytes of a result (a response body), as they are. */
export function printResultBytes(bytes: Uint8Array): void {
  process.stdout.write(bytes);
}

/** Bytes of a result as they come, at the pace of whoever reads them, until the signal. */
export async function printResultStream(
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  for await (const chunk of chunks) {
    if (process.stdout.write(chunk)) continue;
    await once(process.stdout, "drain", { signal }).catch((cause: unknown) => {
      signal.throwIfAborted();
      throw cause;
    });
  }
}

/** A line for the person in front of the terminal. */
export function printNote(text: string): void {
  process.stderr.write(`${text}\n`);
}

export function printWarning(text: string): void {
  printNote(`polaris: ${styleText("yellow", "warning:", { stream: process.stderr })} ${escapeLines(text)}`);
}

/** Messages of ours have lines of their own; what they quote has not. */
function escapeLines(text: string): string {
  return text.split("\n").map(escapeControls).join("\n");
}

/** `polaris: error: …` and, if there is one, `polaris: hint: …`; the stack only with --debug. */
export function printError(error: PolarisError, debug: boolean): void {
  printNote(
    `polaris: ${styleText("red", "error:", { stream: process.stderr })} ${escapeLines(error.message)}`,
  );
  if (error.hint !== undefined) {
    printNote(
      `polaris: ${styleText("cyan", "hint:", { stream: process.stderr })} ${escapeLines(error.hint)}`,
    );
  }
  if (debug && error.stack !== undefined) printNote(escapeLines(describeStack(error)));
}

function describeStack(error: Error): string {
  const own = error.stack ?? error.message;
  return error.cause instanceof Error ? `${own}\ncaused by: ${describeStack(error.cause)}` : own;
}

/** Anything thrown, as an error of ours: what nobody expected is a bug of ours and says so. */
export function asPolarisError(error: unknown): PolarisError {
  if (isPolarisError(error)) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new PolarisError("INTERNAL", `unexpected: ${message}`, {
    hint: "this is a bug in polaris: run the command again with --debug and report what it prints",
    cause: error,
  });
}

/** `✓` or `✗` with a colour where the stream has one. */
export function mark(ok: boolean, stream: NodeJS.WriteStream): string {
  return ok ? styleText("green", "✓", { stream }) : styleText("red", "✗", { stream });
}

/** Aligns rows of text in columns, two spaces between them; the last column is not padded. */
export function formatColumns(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)));
  }
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** `0.4s`, `12s`, `3m05s`: time that passed, for people. */
export function formatElapsed(elapsedMs: number): string {
  if (elapsedMs < 10_000) return `${(elapsedMs / 1000).toFixed(1)}s`;
  const seconds = Math.round(elapsedMs / 1000);
  if (seconds < 60) return `${seconds}s`;
  return `${Math.floor(seconds / 60)}m${String(seconds % 60).padStart(2, "0")}s`;
}
