import { stringify } from "yaml";

import { formatDuration } from "./field-formats.ts";
import type { Config } from "./schema.ts";

/**
 * The effective configuration of a stack as a polaris.yaml of its own: overrides merged, defaults written out, secrets as
 * the references they are. Parsing it gives the same configuration again.
 */
export function printConfig(config: Config): string {
  const { stacks: _merged, workload, ...rest } = config;
  const { health, ...restOfWorkload } = workload;
  const { timeoutMs, ...restOfHealth } = health;
  const { version, name, target, ...sections } = rest;
  const written = {
    version,
    name,
    target,
    workload: { ...restOfWorkload, health: { ...restOfHealth, timeout: formatDuration(timeoutMs) } },
    ...sections,
  };
  return stringify(written, { lineWidth: 0 });
}
