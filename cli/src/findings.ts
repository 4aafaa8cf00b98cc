import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { Finding } from "@polaris-cvm/stacks/target.ts";
import type { CommandContext } from "./run-command.ts";

/** Says the warnings, and stops with all other findings at once: nobody mends one problem to be told the next. */
export function requireNoFindings(context: CommandContext, all: readonly Finding[]): void {
  reportFindings(
    context,
    all.filter(({ isWarning }) => isWarning === true),
  );
  const findings = all.filter(({ isWarning }) => isWarning !== true);
  const [first] = findings;
  if (first === undefined) return;
  const code = findings.length === 1 && first.check === "port-free" ? "PORT_TAKEN" : "PREFLIGHT_FAILED";
  throw new PolarisError(code, findings.map((finding) => `${finding.where}: ${finding.problem}`).join("\n"), {
    hint: first.hint,
    details: { findings },
  });
}

export function reportFindings(context: CommandContext, findings: readonly Finding[]): void {
  for (const finding of findings)
    context.warn(finding.check, `${finding.where}: ${finding.problem} (${finding.hint})`);
}
