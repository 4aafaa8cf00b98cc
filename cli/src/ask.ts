import { PolarisError } from "@polaris-cvm/sdk/errors";
import type inquirer from "inquirer";
import type { CommandContext } from "./run-command.ts";

type PromptModule = ReturnType<typeof inquirer.createPromptModule>;

/** Asks for a yes. Where nobody can be asked, --yes is the only yes. */
export async function confirm(context: CommandContext, question: string): Promise<void> {
  if (context.flags.yes === true) return;
  if (!context.interactive) {
    throw new PolarisError("CONFIRMATION_REQUIRED", "this changes something and nobody can be asked", {
      hint: "look at it with polaris preview, then add --yes",
    });
  }
  const prompt = await promptOnStderr();
  const { answer } = await withoutPromptErrors(
    prompt<{ answer: boolean }>([{ type: "confirm", name: "answer", message: question, default: false }]),
  );
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
    const prompt = await promptOnStderr();
    const typed = await withoutPromptErrors(
      prompt<{ answer: string }>([
        { type: "input", name: "answer", message: `${what}. Type the stack's name (${name}) to go on:` },
      ]),
    );
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

/** Prompts on stderr, for stdout is the result's; the library is loaded only when a person is asked. */
export async function promptOnStderr(): Promise<PromptModule> {
  const { default: inquirer } = await import("inquirer");
  return inquirer.createPromptModule({ input: process.stdin, output: process.stderr });
}

/** Ctrl-C inside a prompt rejects with an error of the prompt library: for us it is a plain cancel. */
export async function withoutPromptErrors<T>(prompt: Promise<T>): Promise<T> {
  try {
    return await prompt;
  } catch (cause) {
    if (cause instanceof Error && cause.name === "ExitPromptError") {
      throw new PolarisError("CANCELLED", "cancelled; nothing was changed", { cause });
    }
    throw cause;
  }
}
