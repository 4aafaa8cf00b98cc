import { CommanderError } from "commander";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { asPolarisError, printError } from "./print.ts";
import { disableColor } from "./process-environment.ts";
import { createProgram } from "./program.ts";
import { reportUsageError } from "./run-command.ts";

/** Runs the command line. `argv` without the program's name. Sets the exit code and returns. */
export async function main(argv: readonly string[]): Promise<void> {
  // commander would take the word after a bare --json for its value, so the one form with a value has a name of its own.
  const words = argv.map((word) => (word === "--json=stream" ? "--json-stream" : word));
  // What people try first, anywhere.
  if (words[0] === "--version" || words[0] === "-V") words[0] = "version";
  if (words.includes("--no-color")) disableColor();
  process.stdout.on("error", endWithReader);
  try {
    await createProgram().parseAsync(words, { from: "user" });
  } catch (thrown) {
    if (thrown instanceof CommanderError) {
      // Help is no error; people have been told by commander what else is wrong.
      if (thrown.exitCode !== 0) {
        reportUsageError(words, new PolarisError("USAGE_INVALID", thrown.message.replace(/^error: /, "")));
      }
      return;
    }
    const error = asPolarisError(thrown);
    printError(error, words.includes("--debug"));
    process.exitCode = error.exitCode;
  }
}

/** Whoever read stdout has gone (`polaris logs -f | head -1`): nothing is left to do, and nothing to complain about. */
function endWithReader(error: NodeJS.ErrnoException): void {
  if (error.code === "EPIPE") process.exit();
  const problem = new PolarisError(
    "STATE_UNWRITABLE",
    `cannot write to standard output (${error.code ?? "unknown"})`,
  );
  printError(problem, false);
  process.exit(problem.exitCode);
}
