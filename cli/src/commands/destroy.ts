import { Command, Option } from "commander";
import { parseDuration } from "../duration.ts";
import type { CommandContext, CommandOutcome, GlobalFlags } from "../run-command.ts";
import { addGlobalFlags, runCommand } from "../run-command.ts";

interface DestroyFlags extends GlobalFlags {
  readonly destroyKey?: boolean;
  readonly keepKey?: boolean;
  readonly confirm?: string;
  readonly wait?: number;
}

export function destroyCommand(): Command {
  return addGlobalFlags(
    new Command("destroy")
      .alias("down")
      .description("remove the stack; the key stays unless you ask for it too")
      .option("--destroy-key", "destroy the key too: what was sealed to it is lost for ever")
      .addOption(
        new Option("--keep-key", "keep the key although key.onDestroy says destroy").conflicts("destroyKey"),
      )
      .option("--confirm <stack>", "the stack's name, where nobody can type it")
      .addOption(
        new Option(
          "--wait <duration>",
          "wait for a stack that somebody else holds, for example 5m",
        ).argParser(parseDuration),
      )
      .addHelpText(
        "after",
        `
Examples:
  polaris destroy --yes                                   the key stays; deploy again and it is used again
  polaris destroy --yes --destroy-key --confirm default   nothing stays`,
      ),
  ).action((flags: DestroyFlags) => runCommand("destroy", flags, (context) => destroy(context, flags)));
}

async function destroy(context: CommandContext, flags: DestroyFlags): Promise<CommandOutcome> {
  const { loadLock, locateStack } = await import("@polaris-cvm/stacks/project.ts");
  const { forgetDeployment } = await import("@polaris-cvm/stacks/write-lock.ts");
  const { loadTarget } = await import("@polaris-cvm/stacks/targets.ts");
  const { PolarisError } = await import("@polaris-cvm/sdk/errors");
  const { confirm, confirmByName } = await import("../ask.ts");
  const { nextCommand } = await import("../next-command.ts");
  const { startProgress } = await import("../progress.ts");

  const location = await locateStack(context.cwd, flags);
  // A lock file that cannot be read is told before anything is destroyed, not after.
  const deployed = (await loadLock(location))?.deployed[location.stack];
  const target = await loadTarget(location.target);
  const [isThere, key] = await Promise.all([target.exists(location), target.findKey(location)]);
  const destroyKey =
    flags.destroyKey === true ||
    (deployed?.onDestroy === "destroy" && flags.keepKey !== true && key !== undefined);
  if (!isThere && (key === undefined || flags.destroyKey !== true)) {
    throw new PolarisError("STACK_NOT_FOUND", `stack "${location.stack}" is not deployed`, {
      hint:
        key === undefined
          ? "nothing is left to destroy"
          : `its key is kept in ${key.where}; --destroy-key destroys it`,
    });
  }
  await confirm(context, `Destroy stack "${location.stack}" on ${location.target}?`);
  if (destroyKey) {
    const why = flags.destroyKey === true ? "" : " (key.onDestroy says so, --keep-key overrules it)";
    await confirmByName(context, {
      given: flags.confirm,
      name: location.stack,
      what: `the key will be destroyed${why}, and with it everything that was ever sealed to it`,
      flag: "--confirm",
    });
  }
  const progress = startProgress(context);
  const keptKey = await target.destroy(
    location,
    { destroyKey },
    {
      signal: context.signal,
      command: "polaris destroy",
      waitMs: flags.wait ?? 0,
      onProgress: progress.onPart,
      warn: context.warn,
    },
  );
  await forgetDeployment(location, { forgetNames: destroyKey });
  progress.done();
  context.note(
    keptKey === undefined
      ? `destroyed ${location.stack}${destroyKey ? ", and its key" : ""}`
      : [
          `destroyed ${location.stack}; its key is kept in ${keptKey.where}`,
          "",
          "Next:",
          `  ${nextCommand(flags, "deploy")}   uses the same key again`,
          `  ${nextCommand(flags, `destroy --destroy-key --confirm ${location.stack}`)}   destroys the key too`,
        ].join("\n"),
  );
  return {
    stack: location.stack,
    target: location.target,
    data: { destroyed: true, keyDestroyed: destroyKey && key !== undefined, keptKey: keptKey?.where ?? null },
  };
}
