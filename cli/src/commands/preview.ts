import { PolarisError } from "@polaris-cvm/sdk/errors";
import { Command } from "commander";
import type { CommandContext, CommandOutcome, GlobalFlags } from "../run-command.ts";
import { addGlobalFlags, runCommand } from "../run-command.ts";

interface PreviewFlags extends GlobalFlags {
  readonly expectNoChanges?: boolean;
}

export function previewCommand(): Command {
  return addGlobalFlags(
    new Command("preview")
      .description("show what deploy would change, and change nothing")
      .option("--expect-no-changes", "exit with 7 if anything would change")
      .addHelpText("after", "\nExample:\n  polaris preview --stack prod --expect-no-changes --json"),
  ).action((flags: PreviewFlags) => runCommand("preview", flags, (context) => preview(context, flags)));
}

async function preview(context: CommandContext, flags: PreviewFlags): Promise<CommandOutcome> {
  const { openProject } = await import("@polaris-cvm/stacks/project.ts");
  const { planStack } = await import("@polaris-cvm/stacks/plan.ts");
  const { loadTarget } = await import("@polaris-cvm/stacks/targets.ts");
  const { resolveSecrets } = await import("@polaris-cvm/stacks/config/secrets.ts");
  const { processEnvironment } = await import("../process-environment.ts");
  const { describeChanges } = await import("../changes.ts");
  const { reportFindings } = await import("../findings.ts");
  const { lockProject } = await import("../lock-project.ts");
  const { openProxyImages } = await import("../proxy-images.ts");

  const project = await openProject(context.cwd, flags);
  const locked = await lockProject(context, project, { frozen: false });
  const plan = planStack(project.config, project.stack, locked.stackLock);
  const target = await loadTarget(plan.target);
  const findings = await target.check(plan, project);
  reportFindings(context, findings);
  const secrets = resolveSecrets(project.config, processEnvironment);
  await using proxyImages = openProxyImages(context, locked);
  const changes = await target.preview(plan, project, secrets, proxyImages.open);
  const count = changes.filter((change) => change.action !== "same").length + locked.changes.length;
  return {
    stack: project.stack,
    target: plan.target,
    data: { changes, lockChanges: locked.changes, findings },
    text: describeChanges(plan, changes, locked.changes),
    ...(flags.expectNoChanges === true && count > 0
      ? { error: new PolarisError("UNEXPECTED_CHANGES", `${count} changes, none expected`) }
      : {}),
  };
}
