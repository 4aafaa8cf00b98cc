import type { DoctorCheck } from "@polaris-cvm/stacks/local/examine-machine.ts";
import { asPolarisError } from "./print.ts";
import { processEnvironment } from "./process-environment.ts";
import { reportFindings } from "./findings.ts";
import type { CommandContext } from "./run-command.ts";

/** What `polaris doctor` looks at in the project: configuration, secrets, and what a deploy would trip over. */
export async function examineProject(context: CommandContext): Promise<DoctorCheck[]> {
  const { openProject } = await import("@polaris-cvm/stacks/project.ts");
  const { lockStack } = await import("@polaris-cvm/stacks/lock-stack.ts");
  const { planStack } = await import("@polaris-cvm/stacks/plan.ts");
  const { loadTarget } = await import("@polaris-cvm/stacks/targets.ts");
  const { resolveSecrets } = await import("@polaris-cvm/stacks/config/secrets.ts");

  const checks: DoctorCheck[] = [];
  try {
    const project = await openProject(context.cwd, context.flags);
    checks.push({
      id: "configuration",
      ok: true,
      found: `valid, stack ${project.stack}, target ${project.target}`,
      hint: "",
    });
    resolveSecrets(project.config, processEnvironment);
    checks.push({ id: "secrets", ok: true, found: "all in the environment", hint: "" });
    const locked = await lockStack(project, { frozen: false });
    const plan = planStack(project.config, project.stack, locked.stackLock);
    const findings = await (await loadTarget(plan.target)).check(plan, project);
    reportFindings(
      context,
      findings.filter(({ isWarning }) => isWarning === true),
    );
    for (const { check, where, problem, hint, isWarning } of findings) {
      if (isWarning !== true) checks.push({ id: check, ok: false, found: `${where}: ${problem}`, hint });
    }
  } catch (thrown) {
    const error = asPolarisError(thrown);
    checks.push({
      id: error.code === "SECRET_MISSING" ? "secrets" : "configuration",
      ok: false,
      found: error.message,
      hint: error.hint ?? "see polaris config validate",
    });
  }
  return checks;
}
