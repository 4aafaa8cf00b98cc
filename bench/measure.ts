import { generateKeyPair } from "node:crypto";
import { promisify } from "node:util";

/** One file of `figures/`: what it measures becomes rows of the table. */
export interface Figure {
  readonly name: string;
  /** For `--list`. */
  readonly about: string;
  /** Longest time that it may take, in milliseconds. */
  readonly limitMs: number;
  /** Takes its samples and ends what it started; rejects once the signal is aborted. */
  readonly measure: (bench: Bench) => Promise<Row[]>;
}

/** What a figure gets. */
export interface Bench {
  /** The figure's own; removed at the end. Everything that it writes is below it. */
  readonly tempDir: string;
  /** Aborted by Ctrl-C, and when the figure or the whole run takes too long. */
  readonly signal: AbortSignal;
}

export type Unit = "ms" | "µs" | "req/s" | "MiB/s" | "MiB" | "%" | "op/s" | "blobs";

export interface Samples {
  readonly what: string;
  readonly unit: Unit;
  /** Empty: this machine does not tell. */
  readonly values: readonly number[];
}

/** One measured thing. How fast a machine is, is no news: what counts is the ratio to a reference of the same minutes. */
export interface Row extends Samples {
  /** In the same unit. */
  readonly reference?: Samples;
  /**
   * The n-th value and the n-th of the reference come from the same round. Then the ratio is the median of the rounds'
   * ratios, so that what changes from minute to minute meets both sides of each.
   */
  readonly isPaired?: boolean;
  readonly target?: Target;
  /** Parts of it, or more about it; their own targets do not count. */
  readonly legs?: readonly Row[];
}

/** The run fails if the row does not meet it. */
export type Target =
  /** Of the row to the reference. */
  | { readonly kind: "ratio-at-least" | "ratio-at-most"; readonly ratio: number }
  /** How much more than the reference, in the row's unit. */
  | { readonly kind: "added-at-most"; readonly value: number }
  /** The row's greatest value. */
  | { readonly kind: "at-most"; readonly value: number };

export interface Summary {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

export function summarize(values: readonly number[]): Summary {
  if (values.length === 0) throw new Error("nothing was measured");
  const sorted = values.toSorted((a, b) => a - b);
  const at = (place: number): number => sorted[place] ?? Number.NaN;
  const last = sorted.length - 1;
  return { min: at(0), median: (at(Math.floor(last / 2)) + at(Math.ceil(last / 2))) / 2, max: at(last) };
}

/** The one ratio of medians, or one ratio a round; empty without a reference or without values. */
export function listRatios({ values, reference, isPaired }: Row): number[] {
  if (reference === undefined || values.length === 0 || reference.values.length === 0) return [];
  if (isPaired !== true) return [summarize(values).median / summarize(reference.values).median];
  return values.map((value, round) => value / (reference.values[round] ?? Number.NaN));
}

/** Undefined where {@link listRatios} is empty. */
export function ratioOf(row: Row): number | undefined {
  const ratios = listRatios(row);
  return ratios.length === 0 ? undefined : summarize(ratios).median;
}

/** What the target is held against, in the target's terms; undefined if there is no target or this machine does not tell. */
export function measureAgainstTarget(row: Row): number | undefined {
  const { target, values, reference } = row;
  if (target === undefined || values.length === 0) return undefined;
  if (target.kind === "at-most") return summarize(values).max;
  if (target.kind !== "added-at-most") return ratioOf(row) ?? Number.NaN;
  return summarize(values).median - summarize(reference?.values ?? []).median;
}

/** A ratio that is no number has missed its target. */
export function isMissed(row: Row): boolean {
  const measured = measureAgainstTarget(row);
  if (row.target === undefined || measured === undefined) return false;
  switch (row.target.kind) {
    case "ratio-at-least":
      return !(measured >= row.target.ratio);
    case "ratio-at-most":
      return !(measured <= row.target.ratio);
    case "added-at-most":
    case "at-most":
      return !(measured <= row.target.value);
  }
}

/** How long one RSA-4096 key takes, in milliseconds. It is a matter of luck: from a third of the median to three times. */
export async function timeRsaKey(): Promise<number> {
  const startedMs = performance.now();
  await promisify(generateKeyPair)("rsa", { modulusLength: 4096 });
  return performance.now() - startedMs;
}
