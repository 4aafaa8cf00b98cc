import { PolarisError } from "@polaris-cvm/sdk/errors";
import { Command } from "commander";
import type { CommandContext, CommandOutcome, GlobalFlags } from "../run-command.ts";
import { addGlobalFlags, runCommand } from "../run-command.ts";

interface LockFlags extends GlobalFlags {
  readonly check?: boolean;
}

export function lockCommand(): Command {
  return addGlobalFlags(
    new Command("lock")
      .description("write polaris.lock: names, workload identity and key policy, fixed before any deploy")
      .option("--check", "write nothing; exit with 7 if the lock does not say what would be deployed")
      .addHelpText("after", "\nExamples:\n  polaris lock\n  polaris lock --check --stack prod"),
  ).action((flags: LockFlags) => runCommand("lock", flags, (context) => lock(context, flags)));
}

async function lock(context: CommandContext, flags: LockFlags): Promise<CommandOutcome> {
  const { openProject, lockStack, saveLock } = await import("@polaris-cvm/stacks/project.ts");
  const project = await openProject(context.cwd, flags);
  const locked = await lockStack(project, { frozen: false });
  const lines = locked.changes.map((change) =>
    change.from === undefined
      ? `+ ${change.field}`
      : `~ ${change.field}: ${change.from} → ${change.to ?? "removed"}`,
  );
  const outcome = { stack: project.stack, target: project.config.target, data: { changes: locked.changes } };
  if (flags.check === true) {
    if (locked.changes.length === 0) return { ...outcome, text: `${project.lockPath} is up to date` };
    return {
      ...outcome,
      text: lines.join("\n"),
      error: new PolarisError("LOCK_FILE_STALE", `${project.lockPath} does not say what would be deployed`, {
        hint: 'run "polaris lock" and commit the result',
      }),
    };
  }
  if (locked.changes.length > 0) await saveLock(project, locked);
  return {
    ...outcome,
    text: [...lines, `${project.lockPath} ${lines.length > 0 ? "written" : "is up to date"}`].join("\n"),
  };
}
