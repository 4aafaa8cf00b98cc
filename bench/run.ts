/**
 * `npm run bench`: measures, prints a table, writes results/<date>.json. Exit code 1 if a target is missed or a figure
 * could not be taken. A new figure is a file in figures/ and a place in the list below.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { firstAnswer } from "./figures/first-answer.ts";
import { help } from "./figures/help.ts";
import { isMissed, ratioOf, summarize } from "./measure.ts";
import type { Figure, Row } from "./measure.ts";
import { StillRunningError } from "./still-running-error.ts";
import { formatTable } from "./table.ts";

const FIGURES: readonly Figure[] = [help, firstAnswer];

/** For all figures together; ending what they started comes on top. */
const LIMIT_MS = 50_000;

const RESULTS = fileURLToPath(new URL("results/", import.meta.url));

const CANCELLED_EXIT = 130;

interface Taken {
  readonly rows: readonly Row[];
  /** Why figures are missing. */
  readonly failures: readonly string[];
  readonly isStillRunning: boolean;
}

async function main(): Promise<number> {
  const startedAt = new Date();
  const cancelled = abortOnSignals();
  const signal = AbortSignal.any([cancelled, AbortSignal.timeout(LIMIT_MS)]);
  const tempDir = await mkdtemp(join(tmpdir(), "polaris-bench-"));
  const { rows, failures, isStillRunning } = await takeFigures(tempDir, signal);
  if (!isStillRunning) await rm(tempDir, { recursive: true });
  for (const failure of failures) say(failure);
  if (cancelled.aborted) return CANCELLED_EXIT;

  if (rows.length > 0) console.log(formatTable(rows));
  const path = join(RESULTS, `${startedAt.toISOString().replace(/:|\.\d+/g, "")}.json`);
  await mkdir(RESULTS, { recursive: true });
  await writeFile(path, `${JSON.stringify(describeResults(startedAt, rows, failures), null, 2)}\n`);
  console.log(`\nwritten to ${path}`);

  const missed = rows.filter(isMissed);
  for (const row of missed) say(`missed: ${describeMiss(row)}`);
  return missed.length > 0 || failures.length > 0 ? 1 : 0;
}

async function takeFigures(tempDir: string, signal: AbortSignal): Promise<Taken> {
  const rows: Row[] = [];
  const failures: string[] = [];
  let isStillRunning = false;
  for (const { name, measure } of FIGURES) {
    if (signal.aborted) {
      failures.push(`${name}: not taken`);
      continue;
    }
    say(`measuring ${name}`);
    try {
      const own = join(tempDir, name);
      await mkdir(own);
      rows.push(...(await measure({ tempDir: own, signal })));
    } catch (error) {
      isStillRunning ||= error instanceof StillRunningError;
      failures.push(`${name}: ${describeFailure(error)}`);
    }
  }
  return { rows, failures, isStillRunning };
}

/** The first Ctrl-C ends the measuring; what was started is ended then, and another Ctrl-C must not stop that. */
function abortOnSignals(): AbortSignal {
  const abort = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      say("ending what was started");
      abort.abort(new Error("cancelled"));
    });
  }
  return abort.signal;
}

function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${describeFailure(error.cause)}`;
}

function describeMiss(row: Row): string {
  return `${row.what} takes ${ratioOf(row)?.toFixed(2)} times ${row.reference?.what}, the target is ${row.maxRatio}`;
}

function describeResults(startedAt: Date, rows: readonly Row[], failures: readonly string[]): object {
  return {
    version: 1,
    startedAt: startedAt.toISOString(),
    machine: {
      node: process.version,
      platform: process.platform,
      arch: process.arch,
      cpu: cpus()[0]?.model ?? "unknown",
      parallelism: availableParallelism(),
      loadAverage1Minute: loadavg()[0],
    },
    rows: rows.map((row) => ({
      what: row.what.trim(),
      isPartOfRowAbove: row.what.startsWith(" "),
      ...describeSamples(row.samplesMs),
      ...(row.reference === undefined
        ? {}
        : {
            reference: { what: row.reference.what, ...describeSamples(row.reference.samplesMs) },
            ratio: ratioOf(row),
          }),
      ...(row.maxRatio === undefined ? {} : { maxRatio: row.maxRatio, met: !isMissed(row) }),
    })),
    failures,
  };
}

function describeSamples(samplesMs: readonly number[]): object {
  const { min, median, max } = summarize(samplesMs);
  return { minMs: min, medianMs: median, maxMs: max, samplesMs };
}

function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}

process.exitCode = await main();
