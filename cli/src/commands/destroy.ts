import { Command, Option } from "commander";
import { parseDuration } from "../duration.ts";
import type { CommandContext, CommandOutcome, GlobalFlags } from "../run-command.ts";
import { addGlobalFlags, runCommand } from "../run-command.ts";

interface DestroyFlags extends GlobalFlags {
  readonly destroyKey?: boolean;
  readonly confirm?: string;
  readonly wait?: number;
}

export function destroyCommand(): Command {
  return addGlobalFlags(
    new Command("destroy")
      .alias("down")
      .description("remove the stack; the key stays unless you ask for it too")
      .option("--destroy-key", "destroy the key too: what was sealed to it is lost for ever")
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
  const { locateStack, forgetDeployment } = await import("@polaris-cvm/stacks/project.ts");
  const { loadTarget } = await import("@polaris-cvm/stacks/targets.ts");
  const { PolarisError } = await import("@polaris-cvm/sdk/errors");
  const { confirm, confirmByName } = await import("../ask.ts");
  const { startProgress } = await import("../progress.ts");

  const location = await locateStack(context.cwd, flags);
  const target = await loadTarget(location.target);
  const destroyKey = flags.destroyKey === true;
  const [isThere, key] = await Promise.all([target.exists(location), target.findKey(location)]);
  if (!isThere && (key === undefined || !destroyKey)) {
    throw new PolarisError("STACK_NOT_FOUND", `stack "${location.stack}" is not deployed`, {
      hint:
        key === undefined
          ? "nothing is left to destroy"
          : `its key is kept in ${key.where}; --destroy-key destroys it`,
    });
  }
  await confirm(context, `Destroy stack "${location.stack}" on ${location.target}?`);
  if (destroyKey) {
    await confirmByName(context, {
      given: flags.confirm,
      name: location.stack,
      what: "the key will be destroyed, and with it everything that was ever sealed to it",
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
      ambient: {},
      onProgress: progress.onPart,
      warn: context.warn,
    },
  );
  await forgetDeployment(location, { forgetNames: destroyKey });
  progress.done();
  context.note(
    keptKey === undefined
      ? `destroyed ${location.stack}, and its key`
      : `destroyed ${location.stack}; its key is kept in ${keptKey.where}\n\nNext:\n  polaris deploy                                          the same key again\n  polaris destroy --yes --destroy-key --confirm ${location.stack}   the key too`,
  );
  return {
    stack: location.stack,
    target: location.target,
    data: { destroyed: true, keyDestroyed: destroyKey && key !== undefined, keptKey: keptKey?.where ?? null },
  };
}
