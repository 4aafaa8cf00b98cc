import { resolve } from "node:path";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { Command } from "commander";
import { Option } from "commander";
import { asPolarisError, printError, printNote, printResult, printWarning } from "./print.ts";
import { nobodyToAsk } from "./process-environment.ts";

/** Flags that every command takes; each has a twin in the environment (`POLARIS_STACK` for `--stack`, …). */
export interface GlobalFlags {
  readonly stack?: string;
  readonly cwd?: string;
  readonly config?: string;
  readonly json?: boolean;
  readonly jsonStream?: boolean;
  readonly yes?: boolean;
  readonly nonInteractive?: boolean;
  readonly quiet?: boolean;
  readonly debug?: boolean;
  /** False with --no-color. */
  readonly color?: boolean;
}

/** What a command gets besides its own flags. */
export interface CommandContext {
  /** Absolute path of the project folder to work in. */
  readonly cwd: string;
  readonly flags: GlobalFlags;
  /** True if a person can be asked. */
  readonly interactive: boolean;
  /** Aborted by the first Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal;
  /** Something for people on stderr, or an event with --json=stream. Silent with --quiet. */
  readonly note: (text: string) => void;
  /** A machine-readable event: printed only with --json=stream. */
  readonly event: (type: string, fields: Readonly<Record<string, unknown>>) => void;
  /** Repeated at the end, so that it does not scroll away before the failure that it explains. */
  readonly warn: (code: string, message: string) => void;
}

/** What a command gives back: printing and exit code are decided here, once for all commands. */
export interface CommandOutcome {
  readonly stack?: string;
  readonly target?: string;
  /** `data` of the JSON document. */
  readonly data: Readonly<Record<string, unknown>>;
  /** The result as text on stdout when --json is absent. */
  readonly text?: string;
  /** The command did its work and the answer is no: printed after the result, decides the exit code. */
  readonly error?: PolarisError;
}

interface Warning {
  readonly code: string;
  readonly message: string;
}

/** Adds the flags that every command takes. */
export function addGlobalFlags(command: Command): Command {
  return command
    .addOption(new Option("-s, --stack <name>", "stack to work on (default: default)").env("POLARIS_STACK"))
    .addOption(new Option("-C, --cwd <dir>", "project folder to work in").env("POLARIS_CWD"))
    .addOption(
      new Option("-c, --config <file>", "configuration file (default: polaris.yaml)").env("POLARIS_CONFIG"),
    )
    .addOption(new Option("--json", "one JSON document on stdout; --json=stream: events, then the document"))
    .addOption(new Option("--json-stream").hideHelp())
    .addOption(new Option("-y, --yes", "do not ask, take yes for an answer").env("POLARIS_YES"))
    .addOption(new Option("--non-interactive", "never ask (implied by CI=true and without a terminal)"))
    .addOption(new Option("-q, --quiet", "no progress on stderr"))
    .addOption(new Option("--debug", "show stack traces").env("POLARIS_DEBUG"))
    .addOption(new Option("--no-color", "no colour (NO_COLOR does the same)"));
}

/**
 * Runs one command: context in, outcome out; prints the result and sets the exit code.
 * The only place that turns an error into text, JSON and an exit code.
 */
export async function runCommand(
  name: string,
  flags: GlobalFlags,
  run: (context: CommandContext) => Promise<CommandOutcome>,
): Promise<void> {
  const warnings: Warning[] = [];
  const abort = new AbortController();
  const stopListening = abortOnSignals(abort, flags);
  const context: CommandContext = {
    cwd: resolve(flags.cwd ?? "."),
    flags,
    interactive: flags.nonInteractive !== true && flags.yes !== true && !wantsJson(flags) && !nobodyToAsk(),
    signal: abort.signal,
    note: (text) => {
      if (flags.quiet !== true && !wantsJson(flags)) printNote(text);
    },
    event: (type, fields) => {
      if (flags.jsonStream === true)
        printResult(JSON.stringify({ ts: new Date().toISOString(), type, ...fields }));
    },
    warn: (code, message) => warnings.push({ code, message }),
  };
  try {
    const outcome = await run(context);
    finish(name, flags, outcome, warnings);
  } catch (thrown) {
    finish(name, flags, { data: {}, error: asPolarisError(thrown) }, warnings);
  } finally {
    stopListening();
  }
}

/** A command line that no command took: with --json a document like every other, otherwise the exit code only. */
export function reportUsageError(words: readonly string[], error: PolarisError): void {
  const flags = { json: words.includes("--json"), jsonStream: words.includes("--json-stream") };
  if (wantsJson(flags)) finish("polaris", flags, { data: {}, error }, []);
  process.exitCode = error.exitCode;
}

function wantsJson(flags: GlobalFlags): boolean {
  return flags.json === true || flags.jsonStream === true;
}

function finish(
  name: string,
  flags: GlobalFlags,
  outcome: CommandOutcome,
  warnings: readonly Warning[],
): void {
  const error = outcome.error ?? null;
  if (wantsJson(flags)) {
    const document = {
      schemaVersion: 1,
      command: name,
      ok: error === null,
      stack: outcome.stack ?? null,
      target: outcome.target ?? null,
      data: outcome.data,
      warnings,
      error: error && {
        code: error.code,
        message: error.message,
        hint: error.hint ?? null,
        exitCode: error.exitCode,
        details: error.details ?? {},
      },
    };
    printResult(flags.jsonStream === true ? JSON.stringify(document) : JSON.stringify(document, null, 2));
  } else if (outcome.text !== undefined) {
    printResult(outcome.text);
  }
  if (!wantsJson(flags)) for (const warning of warnings) printWarning(warning.message);
  if (error !== null) {
    if (!wantsJson(flags)) printError(error, flags.debug === true);
    process.exitCode = error.exitCode;
  }
}

/** First Ctrl-C: end cleanly. Second: end now; the next command puts the pieces together (docs/local.md). */
function abortOnSignals(abort: AbortController, flags: GlobalFlags): () => void {
  let count = 0;
  const onSignal = (): void => {
    count += 1;
    if (count === 1) {
      if (!wantsJson(flags)) printNote("polaris: stopping cleanly; Ctrl-C again stops at once");
      abort.abort(new PolarisError("CANCELLED", "cancelled"));
      return;
    }
    if (!wantsJson(flags))
      printNote(
        "polaris: stopped at once; if a stack was being changed, the next deploy or destroy mends it",
      );
    process.exit(new PolarisError("CANCELLED", "cancelled").exitCode);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, onSignal);
  return () => {
    for (const signal of signals) process.off(signal, onSignal);
  };
}
