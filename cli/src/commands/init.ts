import { existsSync } from "node:fs";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { Command, Option } from "commander";
import { basename, join, resolve } from "node:path";
import type { InitChoices } from "../ask-init.ts";
import type { CommandContext, CommandOutcome, GlobalFlags } from "../run-command.ts";
import { addGlobalFlags, runCommand } from "../run-command.ts";

interface InitFlags extends GlobalFlags, InitChoices {
  readonly force?: boolean;
}

const MODES = ["required", "optional", "off"] as const;

export function initCommand(): Command {
  return addGlobalFlags(
    new Command("init")
      .description("write a commented polaris.yaml; asks what no flag answers")
      .argument("[dir]", "project folder (default: this one)")
      .option("--name <name>", "name of the project (default: the folder's)")
      .option("--run <command>", 'program that serves on $HOST:$PORT, for example "node server.js"')
      .option("--health-path <path>", "path that answers below 400 when the service is well")
      .addOption(new Option("--requests <mode>", "encryption of requests (default: required)").choices(MODES))
      .addOption(
        new Option("--responses <mode>", "encryption of responses (default: required)").choices(MODES),
      )
      .addOption(
        new Option("--key <kind>", "hsm survives restarts, ephemeral does not (default: hsm)").choices([
          "hsm",
          "ephemeral",
        ]),
      )
      .option("--force", "overwrite an existing polaris.yaml")
      .addHelpText(
        "after",
        '\nExamples:\n  polaris init\n  polaris init shop --yes --name shop --run "node server.js" --health-path /healthz',
      ),
  ).action((dir: string | undefined, flags: InitFlags) =>
    runCommand("init", flags, (context) => init(context, flags, dir)),
  );
}

async function init(
  context: CommandContext,
  flags: InitFlags,
  dir: string | undefined,
): Promise<CommandOutcome> {
  const { writeInitConfig } = await import("@polaris-cvm/stacks/config/write-init-config.ts");
  const { nextCommand } = await import("../next-command.ts");
  const { askInitAnswers } = await import("../ask-init.ts");
  const projectDir = resolve(context.cwd, dir ?? ".");
  const path = join(projectDir, "polaris.yaml");
  if (flags.force !== true && existsSync(path)) {
    throw new PolarisError("USAGE_INVALID", `${path} is there already`, {
      hint: "polaris deploy uses it; --force overwrites it",
    });
  }
  const answers = await askInitAnswers(context, flags, projectDir, basename(projectDir));
  await writeInitConfig(path, answers, { overwrite: flags.force === true });
  const here = dir === undefined ? flags : { ...flags, cwd: join(flags.cwd ?? "", dir) };
  const next = ["config validate", "doctor", "deploy"].map((words) => `  ${nextCommand(here, words)}`);
  context.note(["", "Next:", ...next, ""].join("\n"));
  return { target: "local", data: { path, answers }, text: path };
}
