import { mkdir, writeFile } from "node:fs/promises";
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isMissed, listRatios, measureAgainstTarget, ratioOf, summarize } from "./measure.ts";
import type { Row, Samples } from "./measure.ts";

const RESULTS = fileURLToPath(new URL("results/", import.meta.url));

/** What a run leaves behind. */
export interface Results {
  readonly startedAt: Date;
  readonly rows: readonly Row[];
  /** Why figures are missing. */
  readonly failures: readonly string[];
}

/** Writes results/<date>.json and returns its path. */
export async function writeResults(results: Results): Promise<string> {
  const path = join(RESULTS, `${results.startedAt.toISOString().replace(/:|\.\d+/g, "")}.json`);
  await mkdir(RESULTS, { recursive: true });
  await writeFile(path, `${JSON.stringify(describeResults(results), null, 2)}\n`);
  return path;
}

function describeResults({ startedAt, rows, failures }: Results): object {
  return {
    version: 2,
    startedAt: startedAt.toISOString(),
    machine: {
      node: process.version,
      openssl: process.versions.openssl,
      platform: process.platform,
      arch: process.arch,
      cpu: cpus()[0]?.model ?? "unknown",
      parallelism: availableParallelism(),
      memoryMiB: Math.round(totalmem() / 1024 / 1024),
      loadAverage1Minute: loadavg()[0],
    },
    rows: rows.map(describeRow),
    failures,
  };
}

function describeRow(row: Row): object {
  const { reference, target, legs } = row;
  return {
    ...describeSamples(row),
    reference: reference === undefined ? null : describeSamples(reference),
    ratio: ratioOf(row) ?? null,
    ratios: row.isPaired === true ? listRatios(row) : null,
    target: target === undefined ? null : { ...target, measured: measureAgainstTarget(row) ?? null },
    isMissed: isMissed(row),
    legs: legs?.map(describeRow) ?? [],
  };
}

function describeSamples({ what, unit, values }: Samples): object {
  const summary = values.length === 0 ? null : summarize(values);
  return { what, unit, summary, values };
}
