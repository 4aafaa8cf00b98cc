import { PolarisError } from "@polaris-cvm/sdk/errors";
import { Command } from "commander";
import type { CommandContext, CommandOutcome, GlobalFlags } from "../run-command.ts";
import { addGlobalFlags, runCommand } from "../run-command.ts";

export function outputsCommand(): Command {
  return addGlobalFlags(
    new Command("outputs")
      .description("print what the deployment gave: endpoint, public key fingerprint, …")
      .argument("[name]", "print this one value only")
      .addHelpText(
        "after",
        '\nExamples:\n  polaris outputs\n  curl "$(polaris outputs endpoint)/polaris-container/health"',
      ),
  ).action((name: string | undefined, flags: GlobalFlags) =>
    runCommand("outputs", flags, (context) => outputs(context, name)),
  );
}

async function outputs(context: CommandContext, name: string | undefined): Promise<CommandOutcome> {
  const { requireStack } = await import("@polaris-cvm/stacks/project.ts");
  const { loadTarget } = await import("@polaris-cvm/stacks/targets.ts");
  const { formatColumns } = await import("../print.ts");

  const { location, status, deployed } = await requireStack(context.cwd, context.flags, loadTarget);
  const values: Readonly<Record<string, string>> = {
    endpoint: status.endpoint,
    publicKeyFingerprint: deployed?.publicKeyFingerprint ?? "",
    keyVersion: deployed?.keyVersion ?? "",
    instanceId: deployed?.instanceId ?? "",
    issuer: deployed?.issuer ?? "",
    workload: deployed?.workload ?? "",
    deployedAt: deployed?.deployedAt ?? "",
  };
  if (name !== undefined && !Object.hasOwn(values, name)) {
    throw new PolarisError("USAGE_INVALID", `no output "${name}"`, {
      hint: `outputs: ${Object.keys(values).join(", ")}`,
    });
  }
  const data = Object.fromEntries(
    Object.entries(values).map(([key, value]) => [key, value === "" ? null : value]),
  );
  return {
    stack: location.stack,
    target: location.target,
    data: name === undefined ? data : { [name]: data[name] },
    text: name === undefined ? formatColumns(Object.entries(values)) : (values[name] ?? ""),
  };
}
