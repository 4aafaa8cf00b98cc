import { Command, InvalidArgumentError } from "commander";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { CommandContext, CommandOutcome, GlobalFlags } from "../run-command.ts";
import { addGlobalFlags, runCommand } from "../run-command.ts";

interface LogsFlags extends GlobalFlags {
  readonly follow?: boolean;
  readonly part?: string;
  readonly tail: number;
}

export function logsCommand(): Command {
  return addGlobalFlags(
    new Command("logs")
      .description("show what the stack's parts have written")
      .option("-f, --follow", "go on with new lines until Ctrl-C")
      .option(
        "-p, --part <part>",
        "only this part: workload, proxy, token-agent, trust (default: workload and proxy)",
      )
      .option("-n, --tail <lines>", "how many of the last lines of each part", parseLines, 200)
      .addHelpText("after", "\nExamples:\n  polaris logs -f\n  polaris logs --part proxy --tail 20"),
  ).action((flags: LogsFlags) => runCommand("logs", flags, (context) => logs(context, flags)));
}

async function logs(context: CommandContext, flags: LogsFlags): Promise<CommandOutcome> {
  const { requireStack } = await import("@polaris-cvm/stacks/project.ts");
  const { loadTarget } = await import("@polaris-cvm/stacks/targets.ts");
  const { printResult } = await import("../print.ts");

  const { location, target } = await requireStack(context.cwd, flags, loadTarget);
  const known = target.parts;
  if (flags.part !== undefined && !known.includes(flags.part)) {
    throw new PolarisError("USAGE_INVALID", `no part "${flags.part}"`, {
      hint: `parts: ${known.join(", ")}`,
    });
  }
  const parts = flags.part === undefined ? ["workload", "proxy"] : [flags.part];
  const machine = flags.json === true || flags.jsonStream === true;
  const lines: { part: string; line: string }[] = [];
  await Promise.all(
    parts.map(async (part) => {
      const options = { part, tail: flags.tail, follow: flags.follow === true, signal: context.signal };
      for await (const line of target.readLog(location, options)) {
        if (flags.jsonStream === true) context.event("log", { part, line });
        else if (machine) lines.push({ part, line });
        else printResult(parts.length === 1 ? line : `${part.padEnd(8)} | ${line}`);
      }
    }),
  );
  return { stack: location.stack, target: location.target, data: { items: lines } };
}

function parseLines(text: string): number {
  const lines = Number(text);
  if (!Number.isInteger(lines) || lines < 0 || lines > 1_000_000)
    throw new InvalidArgumentError("a whole number from 0 on.");
  return lines;
}
