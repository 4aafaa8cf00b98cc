import { generateKeyPair } from "node:crypto";
import { promisify } from "node:util";

/** One file of `figures/`: what it measures becomes rows of the table. */
export interface Figure {
  readonly name: string;
  /** Takes its samples and ends what it started; rejects once the signal is aborted. */
  readonly measure: (bench: Bench) => Promise<Row[]>;
}

/** What a figure gets. */
export interface Bench {
  /** The figure's own; removed at the end. Everything that it writes is below it. */
  readonly tempDir: string;
  /** Aborted by Ctrl-C, and when the whole run takes too long. */
  readonly signal: AbortSignal;
}

/** One measured thing. How fast a machine is, is no news: what counts is the ratio to a reference of the same minutes. */
export interface Row extends Samples {
  readonly reference?: Samples;
  /** The run fails if the median is more than this many times the reference's. */
  readonly maxRatio?: number;
  /** What it is the sum of, in the order in which it happens. */
  readonly legs?: readonly Samples[];
}

export interface Samples {
  readonly what: string;
  /** In milliseconds. */
  readonly samplesMs: readonly number[];
}

export interface Summary {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

export function summarize(samples: readonly number[]): Summary {
  if (samples.length === 0) throw new Error("nothing was measured");
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (place: number): number => sorted[place] ?? Number.NaN;
  const last = sorted.length - 1;
  return { min: at(0), median: (at(Math.floor(last / 2)) + at(Math.ceil(last / 2))) / 2, max: at(last) };
}

/** Median by median; undefined without a reference. */
export function ratioOf({ samplesMs, reference }: Row): number | undefined {
  if (reference === undefined) return undefined;
  return summarize(samplesMs).median / summarize(reference.samplesMs).median;
}

export function isMissed(row: Row): boolean {
  const ratio = ratioOf(row);
  return row.maxRatio !== undefined && (ratio === undefined || ratio > row.maxRatio);
}

/** How long one RSA-4096 key takes, in milliseconds. It is a matter of luck: from a third of the median to three times. */
export async function timeRsaKey(): Promise<number> {
  const startedMs = performance.now();
  await promisify(generateKeyPair)("rsa", { modulusLength: 4096 });
  return performance.now() - startedMs;
}
