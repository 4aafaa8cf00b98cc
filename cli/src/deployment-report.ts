import type { DeployedStack } from "@polaris-cvm/stacks/lock-file/schema.ts";
import type { Plan } from "@polaris-cvm/stacks/plan.ts";
import type { Change } from "@polaris-cvm/stacks/target.ts";
import type { StackVerification } from "@polaris-cvm/stacks/verify.ts";
import type { CommandContext, CommandOutcome } from "./run-command.ts";
import { nextCommand } from "./next-command.ts";
import { escapeControls, mark } from "./print.ts";
import {
  describeStatements,
  describeVerdict,
  verificationData,
  verificationError,
} from "./verification-report.ts";

/** The end of a deploy: endpoint, key, what is and is not proven, what to type next. */
export function describeDeployment(options: {
  readonly context: CommandContext;
  readonly plan: Plan;
  readonly deployed: DeployedStack;
  readonly report: StackVerification;
  readonly changes: readonly Change[];
}): CommandOutcome {
  const { context, plan, deployed, report, changes } = options;
  const fingerprint = report.publicKeyFingerprint ?? deployed.publicKeyFingerprint;
  const failed = report.checks.filter((check) => !check.ok);
  context.note(
    [
      "",
      `${mark(report.trusted, process.stderr)} ${describeVerdict(report)}`,
      ...failed.map(
        (check) =>
          `  ${mark(false, process.stderr)} ${check.id}: expected ${check.expected}, got ${escapeControls(check.actual)}`,
      ),
      "",
      `  endpoint    ${deployed.endpoint}`,
      `  public key  ${fingerprint ?? "unknown"}`,
      "",
      describeStatements(report.statements, plan.acceptedResiduals, process.stderr),
      "",
      "Next:",
      ...[`request GET ${plan.workload.healthPath ?? "/"}`, "verify", "logs -f", "destroy"].map(
        (words) => `  ${nextCommand(context.flags, words)}`,
      ),
      "",
    ].join("\n"),
  );
  return {
    stack: plan.stack,
    target: plan.target,
    data: {
      endpoint: deployed.endpoint,
      publicKeyFingerprint: fingerprint ?? null,
      keyVersion: deployed.keyVersion,
      changes,
      verification: verificationData(report),
    },
    text: deployed.endpoint,
    ...(report.trusted ? {} : { error: verificationError(report) }),
  };
}
