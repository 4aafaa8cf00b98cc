import { Command } from "commander";
import type { CommandContext, CommandOutcome, GlobalFlags } from "../run-command.ts";
import { addGlobalFlags, runCommand } from "../run-command.ts";

export function configCommand(): Command {
  const command = new Command("config").description("check, print or describe the configuration");
  command.addCommand(
    addGlobalFlags(
      new Command("validate").description("check polaris.yaml: every problem with its line and column"),
    ).action((flags: GlobalFlags) => runCommand("config validate", flags, validate)),
  );
  command.addCommand(
    addGlobalFlags(
      new Command("print").description(
        "print the effective configuration of a stack: defaults and overrides applied",
      ),
    ).action((flags: GlobalFlags) => runCommand("config print", flags, print)),
  );
  command.addCommand(
    addGlobalFlags(new Command("schema").description("print the JSON Schema of polaris.yaml")).action(
      (flags: GlobalFlags) => runCommand("config schema", flags, schema),
    ),
  );
  return command;
}

async function validate(context: CommandContext): Promise<CommandOutcome> {
  const { loadConfig } = await import("@polaris-cvm/stacks/config/load.ts");
  const { config, stack, path } = await loadConfig({ cwd: context.cwd, ...pick(context.flags) });
  return {
    stack,
    target: config.target,
    data: { path, valid: true },
    text: `${path} is valid (stack ${stack}, target ${config.target})`,
  };
}

async function print(context: CommandContext): Promise<CommandOutcome> {
  const { loadConfig } = await import("@polaris-cvm/stacks/config/load.ts");
  const { printConfig } = await import("@polaris-cvm/stacks/config/print.ts");
  const { config, stack } = await loadConfig({ cwd: context.cwd, ...pick(context.flags) });
  return { stack, target: config.target, data: { config }, text: printConfig(config) };
}

async function schema(context: CommandContext): Promise<CommandOutcome> {
  const { configJsonSchema } = await import("@polaris-cvm/stacks/config/json-schema.ts");
  const document = configJsonSchema();
  return {
    data: { schema: document },
    text: JSON.stringify(document, null, context.flags.quiet === true ? 0 : 2),
  };
}

function pick(flags: GlobalFlags): { file?: string; stack?: string } {
  return {
    ...(flags.config === undefined ? {} : { file: flags.config }),
    ...(flags.stack === undefined ? {} : { stack: flags.stack }),
  };
}
