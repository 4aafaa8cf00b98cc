import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { Finding } from "@polaris-cvm/stacks/target.ts";
import type { CommandContext } from "./run-command.ts";

/** Stops with every finding at once: nobody mends one problem to be told the next. */
export function requireNoFindings(findings: readonly Finding[]): void {
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
