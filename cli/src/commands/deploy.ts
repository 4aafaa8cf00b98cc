import { Command, Option } from "commander";
import type { CommandContext, CommandOutcome, GlobalFlags } from "../run-command.ts";
import { addGlobalFlags, runCommand } from "../run-command.ts";
import { parseDuration } from "../duration.ts";

interface DeployFlags extends GlobalFlags {
  readonly wait?: number;
  readonly locked?: boolean;
}

export function deployCommand(): Command {
  return addGlobalFlags(
    new Command("deploy")
      .alias("up")
      .description("create or update the stack, then verify it")
      .addOption(
        new Option("--wait <duration>", "wait for a stack that somebody else holds, for example 5m")
          .env("POLARIS_WAIT")
          .argParser(parseDuration),
      )
      .option("--locked", "refuse if polaris.lock does not say exactly what would be deployed")
      .addHelpText(
        "after",
        `
Examples:
  polaris deploy                      show what would change, ask, deploy, verify
  polaris deploy --yes -C examples/hello
  polaris deploy --stack prod --locked --yes --json

Deploying again changes only what is different; the key and the endpoint stay.
Images, the proxy's too, run by their digests in polaris.lock: what is not there is refused (exit code 5).`,
      ),
  ).action((flags: DeployFlags) => runCommand("deploy", flags, (context) => deploy(context, flags)));
}

async function deploy(context: CommandContext, flags: DeployFlags): Promise<CommandOutcome> {
  const { openProject } = await import("@polaris-cvm/stacks/project.ts");
  const { recordDeployment, saveLock } = await import("@polaris-cvm/stacks/write-lock.ts");
  const { planStack } = await import("@polaris-cvm/stacks/plan.ts");
  const { loadTarget } = await import("@polaris-cvm/stacks/targets.ts");
  const { verifyStack } = await import("@polaris-cvm/stacks/verify.ts");
  const { requireNoFindings } = await import("../findings.ts");
  const { confirm } = await import("../ask.ts");
  const { resolveSecrets } = await import("@polaris-cvm/stacks/config/secrets.ts");
  const { ambientEnvironment, engineEnvironment, processEnvironment } =
    await import("../process-environment.ts");
  const { describeChanges } = await import("../changes.ts");
  const { startProgress } = await import("../progress.ts");
  const { describeDeployment } = await import("../deployment-report.ts");
  const { lockProject } = await import("../lock-project.ts");
  const { openProxyImages } = await import("../proxy-images.ts");

  const project = await openProject(context.cwd, flags);
  const locked = await lockProject(context, project, { frozen: flags.locked === true });
  const plan = planStack(project.config, project.stack, locked.stackLock);
  const target = await loadTarget(plan.target);
  const secrets = resolveSecrets(project.config, processEnvironment);

  requireNoFindings(context, await target.check(plan, project));
  await using proxyImages = openProxyImages(context, locked);
  const changes = await target.preview(plan, project, secrets, proxyImages.open);
  const changed = changes.filter((change) => change.action !== "same");
  context.note(describeChanges(plan, changes, locked.changes));
  if (changed.length > 0) await confirm(context, `Deploy ${plan.qualifiedName} to ${plan.target}?`);

  const progress = startProgress(context);
  const deployed = await target.deploy(plan, project, secrets, {
    signal: context.signal,
    command: "polaris deploy",
    waitMs: flags.wait ?? 0,
    ambient: ambientEnvironment(),
    engineEnvironment: engineEnvironment(),
    openProxyImage: proxyImages.open,
    // Names come before what bears them: whatever happens next, the lock knows what there may be.
    onHeld: async () => {
      await saveLock(project, locked);
    },
    onProgress: progress.onPart,
    warn: context.warn,
  });
  const lockFile = await recordDeployment(project, locked, deployed);
  progress.phase("verifying the endpoint");
  const report = await verifyStack({
    lockFile,
    stack: project.stack,
    acceptSimulated: plan.target === "local",
    signal: context.signal,
  });
  progress.done();
  return describeDeployment({ context, plan, deployed, report, changes });
}
