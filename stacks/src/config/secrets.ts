import { PolarisError } from "@polaris-cvm/sdk/errors";

import type { Config } from "./schema.ts";

/**
 * The values of `workload.secrets`: the only place where they are read. Never log or store the result.
 *
 * @throws {PolarisError} SECRET_MISSING naming every variable that is not set or empty, never a value
 */
export function resolveSecrets(
  config: Config,
  environment: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const values: Record<string, string> = {};
  const missing: string[] = [];
  for (const [name, { fromEnv }] of Object.entries(config.workload.secrets)) {
    const value = environment[fromEnv];
    if (value === undefined || value === "") missing.push(fromEnv);
    else values[name] = value;
  }
  if (missing.length > 0) {
    const names = [...new Set(missing)];
    const verb = names.length === 1 ? "is" : "are";
    throw new PolarisError("SECRET_MISSING", `${names.join(", ")} ${verb} not set, or empty`, {
      hint: `workload.secrets needs ${names.length === 1 ? "it" : "them"}: export the value before you run this command`,
      details: { variables: names },
    });
  }
  return values;
}
