import { isMissed, ratioOf, summarize } from "./measure.ts";
import type { Row, Samples } from "./measure.ts";

const HEADING = ["", "runs", "min", "median", "max", "ratio", "to", "target"];

/** For people: times in milliseconds. */
export function formatTable(rows: readonly Row[]): string {
  const cells = [
    HEADING,
    ...rows.flatMap((row) => [
      formatRow(row),
      ...(row.legs ?? []).map((leg) => formatSamples({ ...leg, what: `  ${leg.what}` })),
    ]),
  ];
  const widths = HEADING.map((_heading, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells.map((row) => formatLine(row, widths)).join("\n");
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
  const ratio = ratioOf(row);
  return [
    ...formatSamples(row),
    ratio === undefined ? "" : `${ratio.toFixed(1)} x`,
    row.reference === undefined
      ? ""
      : `${row.reference.what} (${formatMs(summarize(row.reference.samplesMs).median)})`,
    row.maxRatio === undefined ? "" : `at most ${row.maxRatio} x: ${isMissed(row) ? "MISSED" : "met"}`,
  ];
}

function formatSamples({ what, samplesMs }: Samples): string[] {
  const { min, median, max } = summarize(samplesMs);
  return [what, String(samplesMs.length), ...[min, median, max].map(formatMs)];
}

function formatMs(ms: number): string {
  return `${ms.toFixed(0)} ms`;
}
