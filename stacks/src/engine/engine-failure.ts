import { PolarisError, isPolarisError } from "@polaris-cvm/sdk/errors";
import type { ErrorCode } from "@polaris-cvm/sdk/errors";
import { cleanMessage } from "./clean-message.ts";
import { EngineExit } from "./engine-command.ts";
import type { StopSignals } from "./engine-command.ts";
import { nameOfUrn, typeOfUrn } from "./engine-event.ts";
import type { MaskText } from "./mask-secrets.ts";
import type { Progress, ProgressStep, StepAction } from "./progress.ts";
import { parseLocks, stackLocked } from "./stack-locks.ts";

/** What to do about a message of the cloud's, in one line; undefined if nothing is known of it. */
export type FindHint = (message: string) => string | undefined;

/** A run of the engine that failed, with all that is known of it. */
export interface FailedRun {
  /** For people: `preview`, `up`, `destroy` … */
  readonly operation: string;
  readonly stack: string;
  /** What running the engine threw. */
  readonly error: unknown;
  /** What our own program threw, if it did. */
  readonly programError: unknown;
  readonly progress: Progress;
  readonly stop: StopSignals;
  /** Where all that the engine said is. */
  readonly logPath: string | undefined;
  readonly mask: MaskText;
  readonly findHint: FindHint;
}

interface ResourceFailure {
  readonly urn: string;
  readonly action: StepAction | "check";
  readonly message: string;
}

interface KnownText {
  readonly pattern: RegExp;
  readonly code: ErrorCode;
  readonly message: (match: RegExpExecArray) => string;
  readonly hint: string;
}

/** What the engine says of itself, as opposed to of the cloud. The first one that is found counts. */
const KNOWN_TEXTS: readonly KnownText[] = [
  {
    pattern: /no changes were expected/,
    code: "UNEXPECTED_CHANGES",
    message: () => "no changes were expected, and there are some",
    hint: "look at them with: polaris preview",
  },
  {
    // In its state, the engine protects keys and what goes with them, and nothing else.
    pattern:
      /unable to replace resource "(\S+)"\s+as it is currently marked for protection|resource "(\S+)" cannot be deleted\s+because it is protected/,
    code: "KEY_CHANGE_REFUSED",
    message: ([, replaced, deleted]) =>
      `${replaced === undefined ? "deleting" : "replacing"} ${describeResource(replaced ?? deleted ?? "")} is refused: it is kept`,
    hint: "a key that goes takes with it what was sealed to it; only destroying it, with its own flag, lets it go",
  },
  {
    pattern: /resource (?:(\S+) )?violates plan: ([^\n]*)/,
    code: "UNEXPECTED_CHANGES",
    message: ([, urn, reason = ""]) =>
      `the saved plan does not fit any more: ${urn === undefined ? "" : `${nameOfUrn(urn)}: `}${reason}`,
    hint: "something changed since it was saved; preview again, and look at the difference",
  },
  {
    pattern:
      /no resource plugin '(?:pulumi-resource-)?([\w-]+)' found(?: in the workspace)?(?: at version v?([\w.-]+))?/,
    code: "PLUGIN_UNAVAILABLE",
    message: ([, name = "", version]) =>
      `the provider plugin ${name}${version ? ` ${version}` : ""} is not installed`,
    hint: "run the command again without --offline, or name a mirror of the plugins",
  },
  {
    pattern: /incorrect passphrase/,
    code: "STATE_CORRUPT",
    message: () => "the passphrase does not fit the state: it was encrypted with another one",
    hint: "restore the passphrase's file from a backup, or take it from the machine that deployed first",
  },
  {
    pattern:
      /could not find default credentials|DefaultAzureCredential|failed to (?:refresh cached|retrieve) credentials|no valid credential|PULUMI_ACCESS_TOKEN must be set|Unauthenticated/i,
    code: "CLOUD_CREDENTIALS_MISSING",
    message: () => "there are no credentials for the state or for what encrypts it",
    hint: "log in with the cloud's own tool (for instance: gcloud auth application-default login)",
  },
  {
    pattern:
      /snapshot integrity|invalid checkpoint|failed to load checkpoint|could not deserialize deployment|unmarshal/,
    code: "STATE_CORRUPT",
    message: () => "the state of the stack cannot be understood",
    hint: "restore it from the backups beside it",
  },
];

/** Said of resources whose turn did not come. */
const NOT_REACHED = /^expected resource operations for .* but none were seen/;

/** Said for each failure, and says nothing. */
const EMPTY_MESSAGE = /^(?:update|preview|refresh|destroy|resource monitor shut down)(?: failed| canceled)?$/;

/** A failed run as the one error that tells a person what happened, why, and how to go on. */
export function engineFailure(run: FailedRun): PolarisError {
  if (isPolarisError(run.programError)) return run.programError;
  if (isPolarisError(run.error)) return run.error;
  if (run.stop.now.aborted || run.stop.gently.aborted) return cancelled(run);
  const said = textOf(run);
  if (/currently locked by|Another update is currently in progress/.test(said)) {
    return stackLocked(run.stack, parseLocks(said));
  }
  for (const { pattern, code, message, hint } of KNOWN_TEXTS) {
    const match = pattern.exec(said);
    if (match !== null) return failure(run, code, message(match), hint);
  }
  const failures = listFailures(run.progress);
  const [first] = failures;
  if (first !== undefined) return cloudFailure(run, first, failures);
  if (run.programError instanceof Error) {
    return failure(
      run,
      "ENGINE_FAILED",
      `the program of the stack failed: ${run.programError.message}`,
      undefined,
    );
  }
  const message = lastWords(run, said);
  return failure(run, "ENGINE_FAILED", message, run.findHint(message));
}

function cloudFailure(
  run: FailedRun,
  first: ResourceFailure,
  failures: readonly ResourceFailure[],
): PolarisError {
  const more = failures.length === 1 ? "" : ` (and ${failures.length - 1} more)`;
  const what = `cannot ${first.action === "delete-old" ? "delete the old" : first.action}`;
  return failure(
    run,
    "CLOUD_RESOURCE_FAILED",
    `${what} ${typeOfUrn(first.urn)} "${nameOfUrn(first.urn)}"${more}: ${first.message}`,
    run.findHint(first.message),
    { failures: failures.map((each) => ({ ...each, message: run.mask(each.message) })) },
  );
}

/** Each resource once: by the step that failed or, where none was begun, by what was said of it. */
function listFailures({ steps, messages }: Progress): ResourceFailure[] {
  const failed = steps
    .filter((step) => step.phase === "failed")
    .map(({ urn, action, reason }) => ({ urn, action, message: reason ?? "the provider does not say why" }));
  const said = messages.flatMap(({ severity, urn, message }) =>
    severity === "error" &&
    urn !== undefined &&
    typeOfUrn(urn) !== "pulumi:pulumi:Stack" &&
    !NOT_REACHED.test(message)
      ? [{ urn, action: "check" as const, message }]
      : [],
  );
  return [...failed, ...said.filter(({ urn }) => !failed.some((step) => step.urn === urn))];
}

function cancelled(run: FailedRun): PolarisError {
  const open = run.progress.steps.filter((step) => step.phase === "running");
  if (!run.stop.now.aborted) {
    return new PolarisError(
      "CANCELLED",
      `${run.operation} was cancelled; what was begun is done, and written down`,
      {
        hint: "run the same command again to go on",
        details: { unfinished: open.map(describeStep) },
      },
    );
  }
  const left = open.length === 0 ? "" : `; not known how it ended: ${open.map(describeStep).join(", ")}`;
  return new PolarisError("CANCELLED", `${run.operation} was stopped at once${left}`, {
    hint: "run: polaris unlock, then the same command again",
    details: { unfinished: open.map(describeStep) },
  });
}

function describeResource(urn: string): string {
  return `${typeOfUrn(urn)} "${nameOfUrn(urn)}"`;
}

function describeStep({ action, type, name }: ProgressStep): string {
  return `${action} ${type} "${name}"`;
}

function failure(
  run: FailedRun,
  code: ErrorCode,
  message: string,
  hint: string | undefined,
  details: Readonly<Record<string, unknown>> = {},
): PolarisError {
  const where = run.logPath === undefined ? undefined : `all that was said is in ${run.logPath}`;
  const advice = [hint, where].filter((part) => part !== undefined).join("; ");
  return new PolarisError(code, run.mask(message), {
    ...(advice !== "" && { hint: advice }),
    details: { operation: run.operation, ...(run.logPath !== undefined && { log: run.logPath }), ...details },
    // Not the engine's exit: it has all that was printed, with the secrets.
    ...(!(run.error instanceof EngineExit) && { cause: run.error }),
  });
}

/** All that was said: by the command, and in its events. */
function textOf({ error, progress }: FailedRun): string {
  const printed = error instanceof EngineExit ? `${error.stdout}\n${error.stderr}` : String(error);
  return [printed, ...progress.messages.map(({ message }) => message)].join("\n");
}

function lastWords({ operation, progress }: FailedRun, said: string): string {
  const fromEvents = progress.messages
    .filter(({ severity, message }) => severity === "error" && !EMPTY_MESSAGE.test(message))
    .at(-1)?.message;
  const printed = said.split("\n").filter((line) => line.trim().startsWith("error: "));
  const fromOutput = printed.map((line) => cleanMessage(line)).find((line) => !EMPTY_MESSAGE.test(line));
  return fromEvents ?? fromOutput ?? `pulumi ${operation} failed and does not say why`;
}
