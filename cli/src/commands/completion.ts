import { Argument, Command } from "commander";
import type { CommandOutcome, GlobalFlags } from "../run-command.ts";
import { addGlobalFlags, runCommand } from "../run-command.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = (typeof SHELLS)[number];

export function completionCommand(): Command {
  return addGlobalFlags(
    new Command("completion")
      .description("print the completion script of a shell")
      .addArgument(new Argument("<shell>", "which shell").choices(SHELLS))
      .addHelpText(
        "after",
        `
Examples:
  source <(polaris completion bash)
  polaris completion zsh > "\${fpath[1]}/_polaris"
  polaris completion fish > ~/.config/fish/completions/polaris.fish`,
      ),
  ).action((shell: Shell, flags: GlobalFlags, command: Command) =>
    runCommand("completion", flags, () => complete(shell, command)),
  );
}

async function complete(shell: Shell, command: Command): Promise<CommandOutcome> {
  const { renderCompletion } = await import("../completion-script.ts");
  const script = renderCompletion(shell, command.parent ?? command);
  return { data: { shell, script }, text: script };
}
