import { PolarisError } from "@polaris-cvm/sdk/errors";

export const USAGE = `usage: polaris-proxy [--check | --help | --version]

Opens sealed requests, forwards them to one workload, and seals the answers.
Every setting is an environment variable, see docs/proxy.md. Required is one:
POLARIS_PROXY_WORKLOAD_URL, for example http://127.0.0.1:8000

  --check    say what is wrong with the environment, or which settings are not
             the defaults, and start nothing; exit code 0 or 2
  --help     print this
  --version  print the version

Examples:
  POLARIS_PROXY_WORKLOAD_URL=http://127.0.0.1:8000 polaris-proxy
  POLARIS_PROXY_WORKLOAD_URL=http://127.0.0.1:8000 \\
    POLARIS_PROXY_CORS_ORIGINS=https://app.example polaris-proxy
  node --env-file=proxy.env node_modules/.bin/polaris-proxy --check
`;

/** What a command line asks for. */
export type ProxyCommand = "start" | "check" | "help" | "version";

const COMMANDS: ReadonlyMap<string, ProxyCommand> = new Map([
  ["--check", "check"],
  ["--help", "help"],
  ["--version", "version"],
]);

/**
 * @param given  the arguments of the process
 * @throws {PolarisError} USAGE_INVALID, without repeating them: somebody may have put a secret there
 */
export function parseCommandLine(given: readonly string[]): ProxyCommand {
  const [only, ...more] = given;
  if (only === undefined) return "start";
  const command = COMMANDS.get(only);
  if (command === undefined || more.length > 0) {
    throw new PolarisError(
      "USAGE_INVALID",
      "takes one of --check, --help and --version, or nothing: settings are in the environment",
    );
  }
  return command;
}
