import { Command } from "commander";
import { completionCommand } from "./commands/completion.ts";
import { configCommand } from "./commands/config.ts";
import { dataCommand } from "./commands/data.ts";
import { deployCommand } from "./commands/deploy.ts";
import { destroyCommand } from "./commands/destroy.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { imageCommand } from "./commands/image.ts";
import { initCommand } from "./commands/init.ts";
import { lockCommand } from "./commands/lock.ts";
import { logsCommand } from "./commands/logs.ts";
import { outputsCommand } from "./commands/outputs.ts";
import { previewCommand } from "./commands/preview.ts";
import { requestCommand } from "./commands/request.ts";
import { statusCommand } from "./commands/status.ts";
import { unlockCommand } from "./commands/unlock.ts";
import { verifyCommand } from "./commands/verify.ts";
import { versionCommand } from "./commands/version.ts";
import { isSwitchedOff } from "./process-environment.ts";

const EXIT_CODES = `
Exit codes:
  0 ok · 1 other · 2 usage or configuration · 3 credentials · 4 a resource failed · 5 refused by policy
  6 no such stack · 7 unexpected changes · 8 cancelled · 9 timeout · 10 attestation failed
  11 deployed but unhealthy · 12 locked · 13 preflight failed · 14 drift · 15 audit found a bypass · 255 bug

First steps:
  polaris init            write a polaris.yaml
  polaris deploy          deploy it, on this machine if you say nothing else
  polaris verify          check the endpoint: who holds the key, and what proves it`;

/** The whole command line as data: `main` runs it, completion and docs read it. Handlers are loaded when they run. */
export function createProgram(): Command {
  const program = new Command("polaris")
    .description("Deploy a container image into an attested confidential machine, and let anyone check it.")
    .addHelpText("after", EXIT_CODES)
    .showHelpAfterError("(polaris --help lists the commands, polaris <command> --help its flags)")
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "polaris: error: ")) })
    .exitOverride()
    .hook("preAction", (_program, command) => {
      for (const option of command.options) {
        const name = option.attributeName();
        if (command.getOptionValueSource(name) !== "env") continue;
        if (option.isBoolean() && isSwitchedOff(option.envVar ?? "")) command.setOptionValue(name, false);
        // A variable that is empty is one that is not set.
        if (command.getOptionValue(name) === "") command.setOptionValue(name, undefined);
      }
    });
  const groups: readonly (readonly [string, readonly Command[]])[] = [
    ["Build:", [initCommand(), configCommand(), lockCommand(), imageCommand()]],
    ["Deploy:", [previewCommand(), deployCommand(), destroyCommand()]],
    ["Trust:", [verifyCommand(), requestCommand(), dataCommand()]],
    ["Operate:", [statusCommand(), logsCommand(), outputsCommand(), doctorCommand(), unlockCommand()]],
    ["Polaris:", [completionCommand(), versionCommand()]],
  ];
  for (const [heading, commands] of groups) {
    for (const command of commands) {
      program.addCommand(command.helpGroup(heading).copyInheritedSettings(program));
      for (const subcommand of command.commands) subcommand.copyInheritedSettings(program);
    }
  }
  return program;
}
