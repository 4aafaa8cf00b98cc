import { Command } from "commander";
import type { CommandContext, CommandOutcome, GlobalFlags } from "../run-command.ts";
import { addGlobalFlags, runCommand } from "../run-command.ts";

interface UnlockFlags extends GlobalFlags {
  readonly force?: boolean;
}

export function unlockCommand(): Command {
  return addGlobalFlags(
    new Command("unlock")
      .description("remove the lock that a command left on a stack when it died")
      .option("--force", "also if the holder still runs: two at once can break the stack")
      .addHelpText(
        "after",
        "\nA dead holder is noticed by every command; this is for a lock file that cannot be read.",
      ),
  ).action((flags: UnlockFlags) => runCommand("unlock", flags, (context) => unlock(context, flags)));
}

async function unlock(context: CommandContext, flags: UnlockFlags): Promise<CommandOutcome> {
  const { locateStack } = await import("@polaris-cvm/stacks/project.ts");
  const { loadTarget } = await import("@polaris-cvm/stacks/targets.ts");
  const location = await locateStack(context.cwd, flags);
  const target = await loadTarget(location.target);
  const holder = await target.unlock(location, { force: flags.force === true });
  return {
    stack: location.stack,
    target: location.target,
    data: { unlocked: holder !== undefined, holder: holder ?? null },
    text: holder === undefined ? `stack "${location.stack}" is not locked` : `released the lock of ${holder}`,
  };
}
