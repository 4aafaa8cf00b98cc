import { PolarisError } from "@polaris-cvm/sdk/errors";
import type inquirer from "inquirer";
import type { CommandContext } from "./run-command.ts";

type Answers = Record<string, string | boolean | undefined>;

/** Asks for a yes. Where nobody can be asked, --yes is the only yes. */
export async function confirm(context: CommandContext, question: string): Promise<void> {
  if (context.flags.yes === true) return;
  if (!context.interactive) {
    throw new PolarisError("CONFIRMATION_REQUIRED", "this changes something and nobody can be asked", {
      hint: "look at it with polaris preview, then add --yes",
    });
  }
  const { answer } = await ask<{ answer: boolean }>(context, [
    { type: "confirm", name: "answer", message: question, default: false },
  ]);
  if (!answer) throw new PolarisError("CANCELLED", "you said no; nothing was changed");
}

/** Asks for a name to be typed; `given` is the flag that answers in its place. */
export async function confirmByName(
  context: CommandContext,
  options: {
    readonly given: string | undefined;
    readonly name: string;
    readonly what: string;
    readonly flag: string;
  },
): Promise<void> {
  const { given, name, what, flag } = options;
  let answer = given;
  if (answer === undefined && context.interactive) {
    const typed = await ask<{ answer: string }>(context, [
      { type: "input", name: "answer", message: `${what}. Type the stack's name (${name}) to go on:` },
    ]);
    answer = typed.answer;
  }
  if (answer === undefined) {
    throw new PolarisError("CONFIRMATION_REQUIRED", `${what}, and nobody can be asked`, {
      hint: `add ${flag} ${name}`,
    });
  }
  if (answer !== name) {
    throw new PolarisError(
      "CONFIRMATION_REQUIRED",
      `"${answer}" is not the stack's name "${name}"; nothing was changed`,
    );
  }
}

/**
 * Asks questions on stderr, for stdout is the result's; the library is loaded only when a person is asked.
 *
 * @throws {PolarisError} CANCELLED after Ctrl-C or a signal
 */
export async function ask<T extends Answers>(
  context: CommandContext,
  questions: Parameters<typeof inquirer.prompt<T>>[0],
): Promise<T> {
  const { default: library } = await import("inquirer");
  const prompt = library.createPromptModule({ input: process.stdin, output: process.stderr });
  const asking = prompt<T>(questions);
  const stop = (): void => asking.ui.close();
  context.signal.addEventListener("abort", stop);
  try {
    return await asking;
  } catch (cause) {
    // Ctrl-C inside a prompt, or our closing it, rejects with an error of the library: for us it is a plain cancel.
    if (context.signal.aborted || (cause instanceof Error && cause.name === "ExitPromptError")) {
      throw new PolarisError("CANCELLED", "cancelled; nothing was changed", { cause });
    }
    throw cause;
  } finally {
    context.signal.removeEventListener("abort", stop);
  }
}
