import { CONTAINER_HARDENING } from "@polaris-cvm/images/container-hardening.ts";
import type { ContainerConfig } from "./container-config.ts";
import { PART_LABEL, STACK_LABEL } from "./left-containers.ts";

/**
 * The arguments by which an engine creates a container. It gets no privileges, no port that is not named, and is not started
 * again by the engine: that is for whoever looks after the stack. Values of secrets are not among them.
 */
export function createArguments(config: ContainerConfig): string[] {
  const [network = "", ...others] = config.networks;
  const [program, ...programArguments] = config.command ?? [];
  return [
    "create",
    "--name",
    config.name,
    "--label",
    `${STACK_LABEL}=${config.stackId}`,
    "--label",
    `${PART_LABEL}=${config.part}`,
    ...CONTAINER_HARDENING,
    // What it prints is read while it runs, and kept by the part's own log.
    "--log-driver",
    "none",
    // What was fetched is what is run, or nothing is.
    "--pull",
    "never",
    ...(config.readOnlyRoot ? ["--read-only"] : []),
    ...(config.user === null ? [] : ["--user", config.user]),
    "--network",
    network,
    ...(config.alias === null ? [] : ["--network-alias", config.alias]),
    // A container without a way out must not have one through the engine's resolver, which asks for it in the host's name
    // (CVE-2024-29018): with a resolver of its own, the questions stay in its network, where nobody answers.
    ...(others.length === 0 && config.publish === null ? ["--dns", "127.0.0.1"] : []),
    ...(config.publish === null
      ? []
      : ["--publish", `127.0.0.1:${config.publish.hostPort}:${config.publish.containerPort}`]),
    ...config.mounts.flatMap(({ source, target, readOnly }) => [
      "--mount",
      `type=bind,${csv(`source=${source}`)},${csv(`target=${target}`)}${readOnly ? ",readonly" : ""}`,
    ]),
    ...Object.entries(config.env).flatMap(([name, value]) => ["--env", `${name}=${value}`]),
    ...config.secretNames.flatMap((name) => ["--env", name]),
    ...(program === undefined ? [] : ["--entrypoint", program]),
    config.image,
    ...programArguments,
  ];
}

/** `--mount` is one line of CSV: a path may have a comma in it. */
function csv(field: string): string {
  return /[",\n\r]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}
