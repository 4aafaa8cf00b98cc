import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { LockChange } from "@polaris-cvm/stacks/lock-file/compare.ts";
import { Command, Option } from "commander";
import { escapeControls } from "../print.ts";
import type { CommandContext, CommandOutcome, GlobalFlags } from "../run-command.ts";
import { addGlobalFlags, runCommand } from "../run-command.ts";

interface LockFlags extends GlobalFlags {
  readonly check?: boolean;
  readonly update?: boolean;
}

export function lockCommand(): Command {
  return addGlobalFlags(
    new Command("lock")
      .description(
        "write polaris.lock: names, identity of workload and proxy, key policy, fixed before any deploy",
      )
      .option(
        "--check",
        "write nothing and ask no registry; exit with 7 if the lock does not say what would be deployed",
      )
      .addOption(
        new Option(
          "--update",
          "ask the registries also for images that are locked: a tag may have moved",
        ).conflicts("check"),
      )
      .addHelpText(
        "after",
        `
Examples:
  polaris lock
  polaris lock --check --stack prod
  polaris lock --update

Where the workload is an image, the image of the proxy is locked with it, and the base that it stands on.
An image is asked for once. Its digest stays what it is until --update, wherever its tag points by then.`,
      ),
  ).action((flags: LockFlags) => runCommand("lock", flags, (context) => lock(context, flags)));
}

async function lock(context: CommandContext, flags: LockFlags): Promise<CommandOutcome> {
  const { openProject } = await import("@polaris-cvm/stacks/project.ts");
  const { checkLock, lockStack } = await import("@polaris-cvm/stacks/lock-stack.ts");
  const { saveLock } = await import("@polaris-cvm/stacks/write-lock.ts");
  const project = await openProject(context.cwd, flags);
  const outcome = { stack: project.stack, target: project.config.target };
  const { openImageRegistry } = await import("../image-registry.ts");
  await using registry = openImageRegistry(context);
  if (flags.check === true) {
    const changes = await checkLock(project, registry);
    const data = { changes };
    if (changes.length === 0) return { ...outcome, data, text: `${project.lockPath} is up to date` };
    return {
      ...outcome,
      data,
      text: describe(changes).join("\n"),
      error: new PolarisError("LOCK_FILE_STALE", `${project.lockPath} does not say what would be deployed`, {
        hint: 'run "polaris lock" and commit the result',
      }),
    };
  }
  const locked = await lockStack(project, {
    frozen: false,
    update: flags.update === true,
    images: registry,
  });
  if (locked.changes.length > 0) await saveLock(project, locked);
  const lines = describe(locked.changes);
  return {
    ...outcome,
    data: { changes: locked.changes },
    text: [...lines, `${project.lockPath} ${lines.length > 0 ? "written" : "is up to date"}`].join("\n"),
  };
}

/** What a reviewer wants to read of a field that is new; of the others its name is enough. */
const TOLD = /\.(?:reference|version|digest|platformDigest)$/;

/** One line for each field, and below the fields that one thing has changed, what that was. */
function describe(changes: readonly LockChange[]): string[] {
  return changes.flatMap(({ field, from, to = "removed", reason }, index) => {
    const line =
      from !== undefined
        ? `~ ${field}: ${from} → ${to}`
        : TOLD.test(field)
          ? `+ ${field}: ${to}`
          : `+ ${field}`;
    const isLastOfReason = reason !== undefined && changes[index + 1]?.reason !== reason;
    // An image says of itself what it likes.
    return [line, ...(isLastOfReason ? [`  because ${reason}`] : [])].map(escapeControls);
  });
}
