import { isMissed, listRatios, measureAgainstTarget, ratioOf, summarize } from "./measure.ts";
import type { Row, Samples, Target, Unit } from "./measure.ts";

const HEADING = ["", "runs", "min", "median", "max", "ratio", "to", "target"];

/** For people. */
export function formatTable(rows: readonly Row[]): string {
  const cells = [
    HEADING,
    ...rows.flatMap((row) => [
      formatRow(row),
      ...(row.legs ?? []).map((leg) => formatRow({ ...leg, what: `  ${leg.what}` })),
    ]),
  ];
  const widths = HEADING.map((_heading, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells.map((row) => formatLine(row, widths)).join("\n");
}

/** What is wrong with a row that missed its target, in one sentence. */
export function describeMiss(row: Row): string {
  const to = row.reference === undefined ? "" : ` (${row.reference.what})`;
  return `${row.what}: ${formatMeasured(row)}${to}, the target is ${formatTarget(row)}`;
}

/** Numbers to the right, texts to the left. */
function formatLine(row: readonly string[], widths: readonly number[]): string {
  return row
    .map((cell, column) => {
      const width = widths[column] ?? 0;
      return column >= 1 && column <= 5 ? cell.padStart(width) : cell.padEnd(width);
    })
    .join("  ")
    .trimEnd();
}

function formatRow(row: Row): string[] {
  const { reference, target } = row;
  return [
    ...formatSamples(row),
    formatRatio(row),
    reference === undefined ? "" : `${reference.what}${formatMedian(reference)}`,
    target === undefined ? "" : `${formatTarget(row)}: ${formatVerdict(row)}`,
  ];
}

function formatSamples({ what, unit, values }: Samples): string[] {
  if (values.length === 0) return [what, "0", "", "not measured", ""];
  const { min, median, max } = summarize(values);
  return [what, String(values.length), ...[min, median, max].map((value) => formatValue(value, unit))];
}

function formatMedian({ unit, values }: Samples): string {
  return values.length === 0 ? "" : ` (${formatValue(summarize(values).median, unit)})`;
}

/** Of paired rounds also the least and the greatest. */
function formatRatio(row: Row): string {
  const ratio = ratioOf(row);
  if (ratio === undefined) return "";
  const { min, max } = summarize(listRatios(row));
  const range = row.isPaired === true ? ` (${formatFactor(min, row)} to ${formatFactor(max, row)})` : "";
  return formatFactor(ratio, row) + range;
}

/** What is to be large is a share of the reference, what is to be small a multiple of it. */
function formatFactor(ratio: number, { target, unit }: Row): string {
  const isShare =
    target === undefined ? unit === "req/s" || unit === "MiB/s" : target.kind === "ratio-at-least";
  return isShare ? `${(ratio * 100).toFixed(1)} %` : `${ratio.toFixed(2)} x`;
}

function formatTarget({ target, unit }: Row): string {
  switch (target?.kind) {
    case undefined:
      return "";
    case "ratio-at-least":
      return `at least ${target.ratio * 100} %`;
    case "ratio-at-most":
      return `at most ${target.ratio} x`;
    case "added-at-most":
      return `at most ${target.value} ${unit} more`;
    case "at-most":
      return `at most ${target.value} ${unit}`;
  }
}

function formatVerdict(row: Row): string {
  if (measureAgainstTarget(row) === undefined) return "not measured";
  return isMissed(row) ? "MISSED" : "met";
}

function formatMeasured(row: Row): string {
  const measured = measureAgainstTarget(row) ?? Number.NaN;
  const kinds: Record<Target["kind"], string> = {
    "ratio-at-least": formatFactor(measured, row),
    "ratio-at-most": formatFactor(measured, row),
    "added-at-most": `${formatValue(measured, row.unit)} more`,
    "at-most": formatValue(measured, row.unit),
  };
  return row.target === undefined ? "" : kinds[row.target.kind];
}

/** Three digits that say something, and no fractions of what is large. */
function formatValue(value: number, unit: Unit): string {
  const size = Math.abs(value);
  return `${value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2)} ${unit}`;
}
