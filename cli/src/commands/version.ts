import { readFile } from "node:fs/promises";
import { Command } from "commander";
import type { CommandOutcome, GlobalFlags } from "../run-command.ts";
import { addGlobalFlags, runCommand } from "../run-command.ts";

export function versionCommand(): Command {
  return addGlobalFlags(new Command("version").description("print the version")).action(
    (flags: GlobalFlags) => runCommand("version", flags, version),
  );
}

async function version(): Promise<CommandOutcome> {
  const manifest: unknown = JSON.parse(
    await readFile(new URL("../../package.json", import.meta.url), "utf8"),
  );
  const polaris =
    typeof manifest === "object" && manifest !== null && "version" in manifest
      ? String(manifest.version)
      : "unknown";
  return {
    data: {
      polaris,
      node: process.versions.node,
      platform: `${process.platform}-${process.arch}`,
      configVersion: 1,
      wire: 1,
    },
    text: `polaris ${polaris} (Node ${process.versions.node}, ${process.platform}-${process.arch})`,
  };
}
