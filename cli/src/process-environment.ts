/* oxlint-disable node/no-process-env -- the one place of the command line that reads the environment */
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { PolarisError } from "@polaris-cvm/sdk/errors";

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

/** What a container engine's program is told of where its service is and how to speak to it. */
const ENGINE_VARIABLES = [
  "PATH",
  "HOME",
  "TMPDIR",
  "XDG_CONFIG_HOME",
  "XDG_DATA_HOME",
  "XDG_RUNTIME_DIR",
  "DOCKER_HOST",
  "DOCKER_CONTEXT",
  "DOCKER_CONFIG",
  "DOCKER_TLS_VERIFY",
  "DOCKER_CERT_PATH",
  "DOCKER_API_VERSION",
  "CONTAINER_HOST",
  "CONTAINERS_CONF",
  "CONTAINERS_STORAGE_CONF",
  "CONTAINERS_REGISTRIES_CONF",
];

export function ambientEnvironment(): Record<string, string> {
  return pickVariables(AMBIENT_VARIABLES);
}

export function engineEnvironment(): Record<string, string> {
  return pickVariables(ENGINE_VARIABLES);
}

function pickVariables(names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = processEnvironment[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

/**
 * A folder of this user's own for what can be had again, beside the compile cache of bin/polaris.js. A relative
 * XDG_CACHE_HOME does not count (XDG base directory specification): it would be a folder of whatever project this is.
 */
export function cacheFolder(name: string): string {
  const named = processEnvironment["XDG_CACHE_HOME"] ?? "";
  return join(isAbsolute(named) ? named : join(homedir(), ".cache"), "polaris", name);
}

/**
 * Seconds since 1970 that builds are to take for now (reproducible-builds.org/specs/source-date-epoch).
 *
 * @returns undefined if it is not set
 * @throws {PolarisError} USAGE_INVALID
 */
export function sourceDateEpoch(): number | undefined {
  const value = processEnvironment["SOURCE_DATE_EPOCH"];
  if (value === undefined || value === "") return undefined;
  if (/^[0-9]+$/.test(value)) return Number(value);
  throw new PolarisError(
    "USAGE_INVALID",
    `SOURCE_DATE_EPOCH must be whole seconds since 1970, got ${JSON.stringify(value)}`,
    { hint: "leave it away, or take the time of the last commit: git log -1 --format=%ct" },
  );
}
