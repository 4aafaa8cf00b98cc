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
import type { Figure, Row, Samples } from "./measure.ts";
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
  const stop = new AbortController();
  const limit = setTimeout(() => stop.abort(new Error(`stopped after ${LIMIT_MS} ms`)), LIMIT_MS);
  const wasCancelled = stopOnSignals(stop);
  const tempDir = await mkdtemp(join(tmpdir(), "polaris-bench-"));
  const { rows, failures, isStillRunning } = await takeFigures(tempDir, stop.signal);
  clearTimeout(limit);
  if (!isStillRunning) await rm(tempDir, { recursive: true });
  for (const failure of failures) say(failure);
  if (wasCancelled()) return CANCELLED_EXIT;

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
      ...describeSamples(row),
      reference: row.reference === undefined ? null : describeSamples(row.reference),
      ratio: ratioOf(row) ?? null,
      maxRatio: row.maxRatio ?? null,
      isMissed: isMissed(row),
      legs: row.legs?.map(describeSamples) ?? [],
    })),
    failures,
  };
}

function describeSamples({ what, samplesMs }: Samples): object {
  const { min, median, max } = summarize(samplesMs);
  return { what, minMs: min, medianMs: median, maxMs: max, samplesMs };
}

function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}

process.exitCode = await main();
