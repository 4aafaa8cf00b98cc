import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { ErrorCode } from "@polaris-cvm/sdk/errors";
import type { PartRecord } from "./launch-files.ts";
import type { ObservedPart } from "./observe.ts";
import type { PartName } from "./part-spec.ts";
import { lastLinesOfLaunch } from "./read-log.ts";

/** How many lines of its log an error tells. */
const LAST_LINES = 20;

/** The error for a part that ended although it was to run. */
export async function describePartExit(stackDir: string, observed: ObservedPart): Promise<PolarisError> {
  const { part } = observed;
  const exit = observed.state === "exited" ? observed.exit : undefined;
  const lastLines = "record" in observed ? await readLastLines(stackDir, observed.record) : [];
  return new PolarisError(part === "workload" ? "WORKLOAD_EXITED" : "PART_FAILED", describeEnd(observed), {
    hint: `see what it wrote: polaris logs --part ${part}`,
    details: { part, exitCode: exit?.exitCode ?? null, signal: exit?.signal ?? null, lastLines },
  });
}

/** The error for a part that runs and is not ready in its time. */
export async function describePartUnready(
  stackDir: string,
  observed: ObservedPart,
  timeoutMs: number,
): Promise<PolarisError> {
  const { part } = observed;
  const lastLines = "record" in observed ? await readLastLines(stackDir, observed.record) : [];
  return new PolarisError(UNREADY_CODES[part], `${part} was not ready after ${timeoutMs / 1000} s`, {
    hint: `it is still running; see what it wrote: polaris logs --part ${part}`,
    details: { part, timeoutMs, lastLines },
  });
}

const UNREADY_CODES: Readonly<Record<PartName, ErrorCode>> = {
  trust: "TIMEOUT",
  "token-agent": "TIMEOUT",
  workload: "WORKLOAD_UNHEALTHY",
  proxy: "PROXY_UNHEALTHY",
};

function describeEnd(observed: ObservedPart): string {
  const { part } = observed;
  if (observed.state !== "exited") return `${part} ended while it was started`;
  const { error, exitCode, signal } = observed.exit;
  if (error !== undefined) return `${part}: ${error}`;
  return signal === null
    ? `${part} exited with code ${exitCode} although it was to run`
    : `${part} was ended by ${signal} although it was to run`;
}

/** The log only helps to understand: that it cannot be read must not hide what happened. */
async function readLastLines(stackDir: string, record: PartRecord): Promise<string[]> {
  try {
    return await lastLinesOfLaunch(stackDir, record, LAST_LINES);
  } catch {
    return [];
  }
}
