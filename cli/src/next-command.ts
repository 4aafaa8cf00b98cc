import { processEnvironment } from "./process-environment.ts";
import type { GlobalFlags } from "./run-command.ts";

/** A command that works when it is typed as it stands: with the way in which polaris was called, its -C and its -s. */
export function nextCommand(flags: GlobalFlags, words: string): string {
  // Outside of a checkout `npx polaris` would be somebody else's package.
  const polaris = processEnvironment["npm_command"] === "exec" ? "npx polaris" : "polaris";
  return [
    `${polaris} ${words}`,
    ...(isGiven(flags.cwd) ? ["-C", quoteForShell(flags.cwd)] : []),
    ...(isGiven(flags.config) ? ["-c", quoteForShell(flags.config)] : []),
    ...(isGiven(flags.stack) ? ["-s", quoteForShell(flags.stack)] : []),
  ].join(" ");
}

function isGiven(flag: string | undefined): flag is string {
  return flag !== undefined && flag !== "";
}

/** One word for a POSIX shell, whatever is in it. */
export function quoteForShell(word: string): string {
  return /^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
