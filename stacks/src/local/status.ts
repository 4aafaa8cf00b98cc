import type { PartStatus } from "../target.ts";
import { askPart } from "./supervisor/answer.ts";
import { askReasons } from "./supervisor/probe.ts";
import type { Launch } from "./supervisor/launch-files.ts";
import type { ObservedPart } from "./supervisor/observe.ts";

/** Observed parts as a person wants to read them. A part is running if its process is there and answers its probes. */
export async function describeParts(parts: readonly ObservedPart[]): Promise<PartStatus[]> {
  return Promise.all(parts.map(describePart));
}

async function describePart(observed: ObservedPart): Promise<PartStatus> {
  const { part } = observed;
  switch (observed.state) {
    case "absent":
      return { part, state: "absent", pid: undefined, detail: "not there" };
    case "launched":
      return { part, state: "broken", pid: undefined, detail: "its start was interrupted" };
    case "starting":
      return { part, state: "starting", pid: undefined, detail: "its runner is there, it is not yet" };
    case "running": {
      const pid = observed.record.child?.pid;
      const since = `pid ${pid ?? "?"}, since ${observed.record.startedAt}`;
      if (observed.launch === undefined)
        return { part, state: "broken", pid, detail: `${since}, its end was begun` };
      const answer = await askPart(observed.launch, observed.record);
      const reasons = answer === "yes" ? undefined : await askProxy(observed.launch);
      if (reasons !== undefined) {
        return { part, state: "not-ready", pid, detail: `${since}, not ready: ${reasons.join(", ")}` };
      }
      switch (answer) {
        case "yes":
          return { part, state: "running", pid, detail: since };
        case "not-yet":
          return { part, state: "starting", pid, detail: `${since}, does not answer yet` };
        case "never":
          return { part, state: "broken", pid, detail: `${since}, does not answer` };
      }
    }
    case "exited": {
      const { exitCode, signal, at, error } = observed.exit;
      const how = error ?? (signal === null ? `ended with exit code ${exitCode}` : `ended by ${signal}`);
      return { part, state: "exited", pid: undefined, detail: `${how}, at ${at}` };
    }
    case "runner-lost":
      return { part, state: "broken", pid: observed.record.child?.pid, detail: "its runner was killed" };
    case "corrupted":
      return { part, state: "broken", pid: undefined, detail: observed.reason };
  }
}

/** What the proxy lacks. No other part has a route that says so: what the workload answers is its own. */
async function askProxy({ spec }: Launch): Promise<readonly string[] | undefined> {
  const probe = spec.name === "proxy" ? spec.probes.find(({ kind }) => kind === "http") : undefined;
  return probe?.kind === "http" ? askReasons(probe.url) : undefined;
}
