/**
 * `npm run bench`: measures, prints a table, writes results/<date>.json. Exit code 1 if a target is missed or a figure
 * could not be taken. A new figure is a file in figures/ and a place in the list below.
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readArguments } from "./arguments.ts";
import { firstAnswer } from "./figures/first-answer.ts";
import { firstEvent } from "./figures/first-event.ts";
import { help } from "./figures/help.ts";
import { images } from "./figures/images.ts";
import { largeBody } from "./figures/large-body.ts";
import { memory } from "./figures/memory.ts";
import { mixed } from "./figures/mixed.ts";
import { passthrough } from "./figures/passthrough.ts";
import { sealed } from "./figures/sealed.ts";
import { isMissed } from "./measure.ts";
import type { Figure, Row } from "./measure.ts";
import { writeResults } from "./results.ts";
import { StillRunningError } from "./still-running-error.ts";
import { describeMiss, formatTable } from "./table.ts";

const FIGURES: readonly Figure[] = [
  help,
  firstAnswer,
  passthrough,
  sealed,
  largeBody,
  firstEvent,
  mixed,
  memory,
  images,
];

/** For all figures together; ending what they started comes on top. */
const LIMIT_MS = 720_000;

const CANCELLED_EXIT = 130;
const USAGE_EXIT = 2;

interface Taken {
  readonly rows: readonly Row[];
  /** Why figures are missing. */
  readonly failures: readonly string[];
  readonly isStillRunning: boolean;
}

async function main(): Promise<number> {
  const wish = readArguments(process.argv.slice(2), FIGURES);
  switch (wish.kind) {
    case "measure":
      return await measureAll(wish.figures);
    case "tell":
      console.log(wish.text);
      return 0;
    case "refuse":
      say(wish.text);
      return USAGE_EXIT;
  }
}

async function measureAll(figures: readonly Figure[]): Promise<number> {
  const startedAt = new Date();
  const stop = new AbortController();
  const limit = setTimeout(() => stop.abort(new Error(`stopped after ${LIMIT_MS} ms`)), LIMIT_MS);
  const wasCancelled = stopOnSignals(stop);
  const tempDir = await mkdtemp(join(tmpdir(), "polaris-bench-"));
  const { rows, failures, isStillRunning } = await takeFigures(figures, tempDir, stop.signal);
  clearTimeout(limit);
  if (!isStillRunning) await rm(tempDir, { recursive: true });
  for (const failure of failures) say(failure);
  if (wasCancelled()) return CANCELLED_EXIT;

  if (rows.length > 0) console.log(formatTable(rows));
  console.log(`\nwritten to ${await writeResults({ startedAt, rows, failures })}`);

  const missed = rows.filter(isMissed);
  for (const row of missed) say(`missed: ${describeMiss(row)}`);
  return missed.length > 0 || failures.length > 0 ? 1 : 0;
}

async function takeFigures(figures: readonly Figure[], tempDir: string, stop: AbortSignal): Promise<Taken> {
  const rows: Row[] = [];
  const failures: string[] = [];
  let isStillRunning = false;
  for (const { name, limitMs, measure } of figures) {
    if (stop.aborted) {
      failures.push(`${name}: not taken`);
      continue;
    }
    say(`measuring ${name}`);
    const own = join(tempDir, name);
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(new Error(`stopped after ${limitMs} ms`)), limitMs);
    try {
      await mkdir(own);
      rows.push(...(await measure({ tempDir: own, signal: AbortSignal.any([stop, limit.signal]) })));
    } catch (error) {
      isStillRunning ||= error instanceof StillRunningError;
      failures.push(`${name}: ${describeFailure(error)}`);
    } finally {
      clearTimeout(timer);
    }
  }
  return { rows, failures, isStillRunning };
}

/** The first Ctrl-C ends the measuring; what was started is ended then, and another Ctrl-C must not stop that. */
function stopOnSignals(stop: AbortController): () => boolean {
  let isCancelled = false;
  // The terminal may be gone, and nobody reads what is said; that must not stop it either.
  process.stderr.on("error", () => undefined);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      isCancelled = true;
      say("ending what was started");
      stop.abort(new Error("cancelled"));
    });
  }
  return () => isCancelled;
}

function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${describeFailure(error.cause)}`;
}

function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}

process.exitCode = await main();
