import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { TrustStatement } from "@polaris-cvm/stacks/trust-statement.ts";
import type { StackVerification } from "@polaris-cvm/stacks/verify.ts";
import { escapeControls, formatColumns, mark } from "./print.ts";

/** One sentence: trusted or not, and whether anything was proven by hardware. */
export function describeVerdict(report: StackVerification): string {
  if (!report.trusted) {
    return `not verified: ${report.checks.filter((check) => !check.ok).length} of ${report.checks.length} checks failed`;
  }
  const checks = `${report.checks.length} of ${report.checks.length} checks passed`;
  return report.simulated
    ? `verified (SIMULATED: no TEE, proves nothing about hardware), ${checks}`
    : `verified, ${checks}`;
}

/** One line a check: what was expected, what was found. */
export function describeChecks(report: StackVerification): string {
  return formatColumns(
    report.checks.map((check) =>
      check.ok
        ? [mark(true, process.stdout), check.id, escapeControls(check.actual)]
        : [
            mark(false, process.stdout),
            check.id,
            `expected ${check.expected}, got ${escapeControls(check.actual)}`,
          ],
    ),
  );
}

/** What the target proves and what it leaves open. */
export function describeStatements(
  statements: readonly TrustStatement[],
  accepted: readonly string[],
  stream: NodeJS.WriteStream,
): string {
  return statements
    .map((statement) => {
      const isAccepted = !statement.holds && accepted.includes(statement.id);
      return `  ${mark(statement.holds, stream)} ${statement.id}${isAccepted ? " (accepted)" : ""}: ${statement.why}`;
    })
    .join("\n");
}

export function verificationData(report: StackVerification): Record<string, unknown> {
  return {
    trusted: report.trusted,
    simulated: report.simulated,
    endpoint: report.endpoint,
    publicKeyFingerprint: report.publicKeyFingerprint ?? null,
    checks: report.checks,
    statements: report.statements,
  };
}

export function verificationError(report: StackVerification): PolarisError {
  const failed = report.checks.filter((check) => !check.ok).map((check) => check.id);
  return new PolarisError(
    "VERIFICATION_FAILED",
    `the endpoint could not prove itself: ${failed.join(", ")}`,
    {
      hint: "send nothing to it; if you changed the stack on purpose, deploy it again from the machine that owns polaris.lock",
      details: { failed },
    },
  );
}
