import { CommanderError } from "commander";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { asPolarisError, printError } from "./print.ts";
import { createProgram } from "./program.ts";

/** Runs the command line. `argv` without the program's name. Sets the exit code and returns. */
export async function main(argv: readonly string[]): Promise<void> {
  // commander would take the word after a bare --json for its value, so the one form with a value has a name of its own.
  const words = argv.map((word) => (word === "--json=stream" ? "--json-stream" : word));
  try {
    await createProgram().parseAsync(words, { from: "user" });
  } catch (thrown) {
    if (thrown instanceof CommanderError) {
      // Help and version are no errors; commander has already said what else is wrong.
      process.exitCode =
        thrown.exitCode === 0 ? 0 : new PolarisError("USAGE_INVALID", thrown.message).exitCode;
      return;
    }
    const error = asPolarisError(thrown);
    printError(error, words.includes("--debug"));
    process.exitCode = error.exitCode;
  }
}
