import { PolarisError } from "@polaris-cvm/sdk/errors";
import { Command } from "commander";
import type { CommandContext, CommandOutcome, GlobalFlags } from "../run-command.ts";
import { addGlobalFlags, runCommand } from "../run-command.ts";

export function doctorCommand(): Command {
  return addGlobalFlags(
    new Command("doctor")
      .description("check this machine and the project before a deploy (exit 13 if something is in the way)")
      .addHelpText("after", "\nExample:\n  polaris doctor --json"),
  ).action((flags: GlobalFlags) => runCommand("doctor", flags, doctor));
}

async function doctor(context: CommandContext): Promise<CommandOutcome> {
  const { examineMachine } = await import("@polaris-cvm/stacks/local/examine-machine.ts");
  const { examineProject } = await import("../examine-project.ts");
  const { formatColumns, mark } = await import("../print.ts");

  const checks = [...(await examineMachine(context.cwd)), ...(await examineProject(context))];
  const failed = checks.filter((check) => !check.ok);
  return {
    data: { checks },
    text: formatColumns(checks.map((check) => [mark(check.ok, process.stdout), check.id, check.found])),
    ...(failed[0] === undefined
      ? {}
      : {
          error: new PolarisError(
            "PREFLIGHT_FAILED",
            `in the way of a deploy: ${[...new Set(failed.map((check) => check.id))].join(", ")}`,
            {
              hint: failed[0].hint,
            },
          ),
        }),
  };
}
