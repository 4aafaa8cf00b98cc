import { Command } from "commander";
import type { CommandContext, CommandOutcome, GlobalFlags } from "../run-command.ts";
import { addGlobalFlags, runCommand } from "../run-command.ts";

interface VerifyFlags extends GlobalFlags {
  readonly allowSimulated?: boolean;
  readonly lock?: string;
}

export function verifyCommand(): Command {
  return addGlobalFlags(
    new Command("verify")
      .description("check an endpoint: fresh evidence, key, and claims against polaris.lock (exit 10 if not)")
      .argument("[url]", "endpoint to check (default: the stack's, from polaris.lock)")
      .option("--lock <file>", "polaris.lock with the expectations (default: the project's)")
      .option("--allow-simulated", "accept evidence that no hardware stands behind, for a bare URL")
      .addHelpText(
        "after",
        `
Examples:
  polaris verify
  polaris verify https://203.0.113.7:3000 --lock polaris.lock --stack prod --json

Expectations come from the lock file, never from the endpoint that is checked.`,
      ),
  ).action((url: string | undefined, flags: VerifyFlags) =>
    runCommand("verify", flags, (context) => verify(context, flags, url)),
  );
}

async function verify(
  context: CommandContext,
  flags: VerifyFlags,
  url: string | undefined,
): Promise<CommandOutcome> {
  const { locateStack, loadExpectationLock } = await import("@polaris-cvm/stacks/project.ts");
  const { isKnownToBeSimulated, verifyStack } = await import("@polaris-cvm/stacks/verify.ts");
  const { describeChecks, describeVerdict, verificationData, verificationError } =
    await import("../verification-report.ts");

  const location = await locateStack(context.cwd, flags);
  const lockFile = await loadExpectationLock(location, flags.lock);
  const report = await verifyStack({
    lockFile,
    stack: location.stack,
    acceptSimulated:
      flags.allowSimulated === true || isKnownToBeSimulated(lockFile, location.stack, [url, flags.lock]),
    signal: context.signal,
    ...(url === undefined ? {} : { url }),
  });
  if (report.isLockAhead) {
    context.warn(
      "lock-ahead",
      "polaris.lock names another workload than the one that was deployed: deploy again",
    );
  }
  return {
    stack: location.stack,
    target: location.target,
    data: verificationData(report),
    text: [
      report.endpoint,
      describeChecks(report),
      "",
      "What this proves, and what it does not:",
      ...report.statements.map((line) => `  ${line.holds ? "+" : "-"} ${line.id}: ${line.why}`),
      "",
      describeVerdict(report),
    ].join("\n"),
    ...(report.trusted ? {} : { error: verificationError(report) }),
  };
}
