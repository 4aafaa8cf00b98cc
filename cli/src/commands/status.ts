import { PolarisError } from "@polaris-cvm/sdk/errors";
import { Command } from "commander";
import type { CommandContext, CommandOutcome, GlobalFlags } from "../run-command.ts";
import { addGlobalFlags, runCommand } from "../run-command.ts";

export function statusCommand(): Command {
  return addGlobalFlags(
    new Command("status")
      .description("show the stack's parts and whether they are well (exit 11 if not)")
      .addHelpText("after", "\nExample:\n  polaris status --json | jq .data.healthy"),
  ).action((flags: GlobalFlags) => runCommand("status", flags, status));
}

async function status(context: CommandContext): Promise<CommandOutcome> {
  const { requireStack } = await import("@polaris-cvm/stacks/project.ts");
  const { loadTarget } = await import("@polaris-cvm/stacks/targets.ts");
  const { formatColumns, mark } = await import("../print.ts");

  const { location, status: found, deployed } = await requireStack(context.cwd, context.flags, loadTarget);
  const rows = found.parts.map((part) => [
    mark(part.state === "running", process.stdout),
    part.part,
    part.state,
    part.detail,
  ]);
  const broken = found.parts.filter((part) => part.state !== "running").map((part) => part.part);
  return {
    stack: location.stack,
    target: location.target,
    data: {
      endpoint: found.endpoint,
      publicKeyFingerprint: deployed?.publicKeyFingerprint ?? null,
      healthy: found.healthy,
      parts: found.parts.map(({ part, state, pid, detail }) => ({ part, state, pid: pid ?? null, detail })),
    },
    text: [
      `stack     ${location.stack} (${location.target}${location.target === "local" ? ", simulated: no TEE" : ""})`,
      `endpoint  ${found.endpoint}`,
      `key       ${deployed?.publicKeyFingerprint ?? "not pinned: born at each start, or the deploy did not finish"}`,
      "",
      formatColumns(rows),
    ].join("\n"),
    ...(found.healthy
      ? {}
      : {
          error: new PolarisError("PROXY_UNHEALTHY", `not well: ${broken.join(", ")}`, {
            hint: `polaris deploy mends it; polaris logs --part ${broken[0] ?? "proxy"} shows why`,
          }),
        }),
  };
}
