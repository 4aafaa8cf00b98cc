import { existsSync } from "node:fs";
import { join } from "node:path";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { InitAnswers } from "@polaris-cvm/stacks/config/init-template.ts";
import { ask } from "./ask.ts";
import type { CommandContext } from "./run-command.ts";
import { splitCommand } from "./split-command.ts";

type Mode = "off" | "optional" | "required";

/** What the flags of `polaris init` may say, and what is asked where they do not. */
export interface InitChoices {
  readonly name?: string | undefined;
  readonly run?: string | undefined;
  readonly healthPath?: string | undefined;
  readonly requests?: Mode | undefined;
  readonly responses?: Mode | undefined;
  readonly key?: "hsm" | "ephemeral" | undefined;
}

type InitAnswerSheet = { -readonly [name in keyof InitChoices]: InitChoices[name] };

/** Programs by which a project usually starts, by the file that shows it. */
const USUAL_PROGRAMS: readonly (readonly [string, string])[] = [
  ["server.js", "node server.js"],
  ["index.js", "node index.js"],
  ["main.py", "python3 main.py"],
  ["app.py", "python3 app.py"],
];

/** The answers of `polaris init`: flags first, then a person, then what is usual. */
export async function askInitAnswers(
  context: CommandContext,
  choices: InitChoices,
  projectDir: string,
  folderName: string,
): Promise<InitAnswers> {
  const usualName = suggestName(folderName);
  const usualRun = USUAL_PROGRAMS.find(([file]) => existsSync(join(projectDir, file)))?.[1];
  const asked = context.interactive
    ? await askMissing(context, choices, usualName, usualRun ?? "node server.js")
    : {};
  const run = choices.run ?? asked.run ?? usualRun;
  if (run === undefined || splitCommand(run).length === 0) {
    throw new PolarisError("USAGE_INVALID", "nothing says which program to run", {
      hint: 'add --run "node server.js"',
    });
  }
  const healthPath = choices.healthPath ?? (asked.healthPath === "" ? undefined : asked.healthPath);
  return {
    name: choices.name ?? asked.name ?? usualName,
    run: splitCommand(run),
    ...(healthPath === undefined ? {} : { healthPath }),
    requests: choices.requests ?? asked.requests ?? "required",
    responses: choices.responses ?? asked.responses ?? "required",
    key: choices.key ?? asked.key ?? "hsm",
  };
}

/** A folder's name as the name of a project: lower case, hyphens, a letter first. */
export function suggestName(folderName: string): string {
  const name = folderName
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replace(/^[^a-z]+/, "")
    .slice(0, 30)
    .replace(/-+$/, "");
  return name === "" ? "app" : name;
}

async function askMissing(
  context: CommandContext,
  choices: InitChoices,
  usualName: string,
  usualRun: string,
): Promise<InitChoices> {
  const modes = [
    { name: "required: clear ones are refused", value: "required" },
    { name: "optional: both are taken", value: "optional" },
    { name: "off: sealed ones are refused", value: "off" },
  ];
  const questions = [
    { type: "input", name: "name", message: "Name of the project", default: usualName },
    { type: "input", name: "run", message: "Program that serves on $HOST:$PORT", default: usualRun },
    {
      type: "input",
      name: "healthPath",
      message: "Path that answers when it is well (empty: an open port is enough)",
    },
    { type: "select", name: "requests", message: "Sealed requests", choices: modes },
    { type: "select", name: "responses", message: "Sealed responses", choices: modes },
    {
      type: "select",
      name: "key",
      message: "Key",
      choices: [
        { name: "hsm: kept by the key service, survives restarts", value: "hsm" },
        { name: "ephemeral: born in the proxy, new at each start", value: "ephemeral" },
      ],
    },
  ] as const;
  const missing = questions.filter((question) => choices[question.name] === undefined);
  return ask<InitAnswerSheet>(context, [...missing]);
}
