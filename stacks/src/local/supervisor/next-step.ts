import type { ObservedPart } from "./observe.ts";
import { PART_NAMES, describeSpecChange, specDigest } from "./part-spec.ts";
import type { PartName, PartSpec } from "./part-spec.ts";

/** An observed part with what only the command that works on it knows. */
export type JudgedPart = ObservedPart & {
  /** Whether its probes answer, where they were asked: `never` is the end of all patience. */
  readonly answers?: "yes" | "never";
  /** Of a launched part: its runner was spawned just now and is alive. */
  readonly isComing?: boolean;
};

export type Step =
  | { readonly kind: "stop"; readonly part: PartName; readonly reason: string }
  | { readonly kind: "start"; readonly part: PartName; readonly reason: string }
  /** Wait until one of these answers its probes, or ends. */
  | { readonly kind: "await-ready"; readonly parts: readonly PartName[] }
  | { readonly kind: "done" };

/** What a deploy would do with one part. */
export interface PartChange {
  readonly part: PartName;
  readonly action: "create" | "replace" | "restart" | "same" | "delete";
  readonly reason: string;
}

/** Parts that have to be ready before a part starts; those that a stack does not have do not count. */
const STARTS_AFTER: Readonly<Record<PartName, readonly PartName[]>> = {
  trust: [],
  "token-agent": ["trust"],
  workload: [],
  proxy: ["trust", "token-agent", "workload"],
};

/**
 * The next thing to do on the way from what is there to what should be there: the one place that decides. Doing it and
 * asking again always arrives at `done`, from any state (if parts start and become ready).
 */
export function nextStep(desired: readonly PartSpec[] | "absent", observed: readonly JudgedPart[]): Step {
  const decisions = decide(desired, observed);
  const stop = decisions.findLast((decision) => decision.needs === "stop");
  if (stop !== undefined) return { kind: "stop", part: stop.part, reason: stop.reason };

  const isReady = (part: PartName) =>
    decisions.every((other) => other.part !== part || other.needs === "nothing");
  const start = decisions.find(({ part, needs }) => needs === "start" && STARTS_AFTER[part].every(isReady));
  if (start !== undefined) return { kind: "start", part: start.part, reason: start.reason };

  const waiting = decisions.filter(({ needs }) => needs === "readiness").map(({ part }) => part);
  return waiting.length > 0 ? { kind: "await-ready", parts: waiting } : { kind: "done" };
}

/** What {@link nextStep} will lead to, part by part, in start order. Parts that are neither there nor wanted are left out. */
export function planChanges(
  desired: readonly PartSpec[] | "absent",
  observed: readonly JudgedPart[],
): PartChange[] {
  return decide(desired, observed)
    .filter(({ action }) => action !== "none")
    .map(({ part, action, reason }) => ({ part, action: action === "none" ? "same" : action, reason }));
}

interface Decision {
  readonly part: PartName;
  readonly action: PartChange["action"] | "none";
  /** What has to happen first. */
  readonly needs: "stop" | "start" | "readiness" | "nothing";
  readonly reason: string;
}

function decide(desired: readonly PartSpec[] | "absent", observed: readonly JudgedPart[]): Decision[] {
  const specs = desired === "absent" ? [] : desired;
  return PART_NAMES.map((part) => {
    const spec = specs.find(({ name }) => name === part);
    const present = observed.find((other) => other.part === part) ?? { part, state: "absent" };
    return { part, ...(spec === undefined ? decideUnwanted(present) : decideWanted(spec, present)) };
  });
}

function decideUnwanted(present: JudgedPart): Omit<Decision, "part"> {
  if (present.state === "absent") return { action: "none", needs: "nothing", reason: "not there" };
  return { action: "delete", needs: "stop", reason: "not wanted any more" };
}

function decideWanted(spec: PartSpec, present: JudgedPart): Omit<Decision, "part"> {
  switch (present.state) {
    case "absent":
      return { action: "create", needs: "start", reason: "not running" };
    case "launched":
      if (present.isComing === true) return { action: "create", needs: "readiness", reason: "being started" };
      // Whoever launched it was killed. The new launch takes the place of that one, and its runner then starts nothing.
      return { action: "create", needs: "start", reason: "its start was interrupted" };
    case "corrupted":
      return { action: "restart", needs: "stop", reason: present.reason };
    case "exited":
      return { ...replaceOrRestart(spec, present, describeExit(present.exit)), needs: "start" };
    case "runner-lost":
      // To stop it first, even if its command seems dead: what that left behind may not be.
      return { ...replaceOrRestart(spec, present, "its runner was killed"), needs: "stop" };
    case "starting":
    case "running":
      break;
  }
  if (present.launch === undefined) return { action: "restart", needs: "stop", reason: "its end was begun" };
  if (present.record.specDigest !== specDigest(spec)) {
    return { ...replaceOrRestart(spec, present, ""), needs: "stop" };
  }
  if (present.answers === "never") return { action: "restart", needs: "stop", reason: "it does not answer" };
  const isReady = present.state === "running" && present.answers === "yes";
  return { action: "same", needs: isReady ? "nothing" : "readiness", reason: "as planned" };
}

function replaceOrRestart(
  spec: PartSpec,
  { record, launch }: Extract<ObservedPart, { record: unknown }>,
  whyRestart: string,
): { action: "replace" | "restart"; reason: string } {
  if (record.specDigest === specDigest(spec)) return { action: "restart", reason: whyRestart };
  const reason = launch === undefined ? "specification changed" : describeSpecChange(launch.spec, spec);
  return { action: "replace", reason };
}

function describeExit({
  exitCode,
  signal,
  error,
}: Extract<ObservedPart, { state: "exited" }>["exit"]): string {
  if (error !== undefined) return error;
  return signal === null ? `it exited with code ${exitCode}` : `it was ended by ${signal}`;
}
