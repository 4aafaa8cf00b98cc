import { cleanMessage } from "./clean-message.ts";
import { nameOfUrn } from "./engine-event.ts";
import type { ArrivedEvent, EngineOperation, EngineStep } from "./engine-event.ts";

/** What is done with one resource, for people. */
export type StepAction =
  | "create"
  | "update"
  | "replace"
  | "delete"
  | "delete-old"
  | "read"
  | "refresh"
  | "import";

/** One thing that the engine does, or has done. */
export interface ProgressStep {
  /** One resource may have two steps: its replacement is made, and the old one deleted. */
  readonly urn: string;
  readonly action: StepAction;
  /** `package:module:Type`. */
  readonly type: string;
  readonly name: string;
  readonly phase: "running" | "done" | "failed";
  /** Milliseconds since 1970. */
  readonly startedAtMs: number;
  readonly endedAtMs?: number;
  /** Why it failed, in the cloud's words. */
  readonly reason?: string;
}

export interface ProgressMessage {
  readonly severity: "error" | "warning";
  readonly urn?: string;
  readonly message: string;
}

/** What has happened so far in one operation. */
export interface Progress {
  readonly steps: readonly ProgressStep[];
  /** Errors and warnings, each once. */
  readonly messages: readonly ProgressMessage[];
  /** Of resources, by what was done with them; absent until the end. */
  readonly counts?: Readonly<Record<string, number>>;
}

export const NO_PROGRESS: Progress = { steps: [], messages: [] };

/** Nothing of these is shown: nothing happens, or only in the engine's books. */
const ACTIONS: Readonly<Partial<Record<EngineOperation, StepAction>>> = {
  create: "create",
  update: "update",
  delete: "delete",
  "create-replacement": "replace",
  "delete-replaced": "delete-old",
  read: "read",
  "read-replacement": "read",
  refresh: "refresh",
  import: "import",
  "import-replacement": "import",
};

/** The progress after one more event. Pure. */
export function reduceProgress(state: Progress, { atMs, event }: ArrivedEvent): Progress {
  if (event.resourcePreEvent !== undefined) return startStep(state, event.resourcePreEvent.metadata, atMs);
  if (event.resOutputsEvent !== undefined)
    return endStep(state, event.resOutputsEvent.metadata, "done", atMs);
  if (event.resOpFailedEvent !== undefined) {
    return endStep(state, event.resOpFailedEvent.metadata, "failed", atMs);
  }
  if (event.diagnosticEvent !== undefined) return addMessage(state, event.diagnosticEvent);
  if (event.summaryEvent !== undefined) {
    return { ...state, counts: event.summaryEvent.resourceChanges ?? {} };
  }
  return state;
}

function startStep(state: Progress, step: EngineStep, atMs: number): Progress {
  const action = actionOf(step);
  if (action === undefined) return state;
  const { urn, type } = step;
  const started: ProgressStep = {
    urn,
    action,
    type,
    name: nameOfUrn(urn),
    phase: "running",
    startedAtMs: atMs,
  };
  return { ...state, steps: [...state.steps.filter((other) => !isStep(other, urn, action)), started] };
}

function endStep(state: Progress, step: EngineStep, phase: "done" | "failed", atMs: number): Progress {
  const action = actionOf(step);
  if (action === undefined) return state;
  const reason = state.messages.find(
    ({ urn, severity }) => urn === step.urn && severity === "error",
  )?.message;
  const steps = state.steps.map((other) =>
    isStep(other, step.urn, action)
      ? { ...other, phase, endedAtMs: atMs, ...(phase === "failed" && reason !== undefined && { reason }) }
      : other,
  );
  return { ...state, steps };
}

function addMessage(
  state: Progress,
  diagnostic: NonNullable<ArrivedEvent["event"]["diagnosticEvent"]>,
): Progress {
  const { severity, urn } = diagnostic;
  // "info" is what programs print; "debug" is not declared, and comes all the same.
  if (diagnostic.ephemeral === true || (severity !== "error" && severity !== "warning")) return state;
  const message = cleanMessage(diagnostic.message);
  if (message === "" || state.messages.some((known) => known.urn === urn && known.message === message)) {
    return state;
  }
  const added: ProgressMessage = { severity, message, ...(urn !== undefined && urn !== "" && { urn }) };
  return {
    ...state,
    messages: [...state.messages, added],
    // The reason may come after the failure.
    steps: state.steps.map((step) =>
      severity === "error" && step.urn === urn && step.phase === "failed" && step.reason === undefined
        ? { ...step, reason: message }
        : step,
    ),
  };
}

function actionOf({ op, provider }: EngineStep): StepAction | undefined {
  // Components, the stack and providers are the engine's own: nothing is made for them.
  return provider === "" || provider === undefined || provider === null ? undefined : ACTIONS[op];
}

function isStep(step: ProgressStep, urn: string, action: StepAction): boolean {
  return step.urn === urn && step.action === action;
}
