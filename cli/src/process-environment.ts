/* oxlint-disable node/no-process-env -- the one place of the command line that reads the environment */

/** The environment of this process, read once; everybody else gets what they need as an argument. */
export const processEnvironment: Readonly<Record<string, string | undefined>> = process.env;

/** True where nobody can be asked: continuous integration, or no terminal on standard input. */
export function nobodyToAsk(): boolean {
  const ci = processEnvironment["CI"];
  return (ci !== undefined && ci !== "" && ci !== "false") || !process.stdin.isTTY;
}

/** `--no-color`: for us and for the libraries that write for us. */
export function disableColor(): void {
  process.env["NO_COLOR"] = "1";
}

/** True if a switch's variable says no: commander takes any value of it, also "0", for a yes. */
export function isSwitchedOff(variable: string): boolean {
  return ["", "0", "false", "no", "off"].includes((processEnvironment[variable] ?? "").toLowerCase());
}

/** What a workload on this machine needs of the shell that deploys it: where programs are, how to write. Nothing else. */
const AMBIENT_VARIABLES = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"];

export function ambientEnvironment(): Record<string, string> {
  return Object.fromEntries(
    AMBIENT_VARIABLES.flatMap((name) => {
      const value = processEnvironment[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}
