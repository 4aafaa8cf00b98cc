import { runEngine } from "./engine.ts";
import type { EngineName } from "./engine.ts";
import { splitLines, STACK_LABEL } from "./left-containers.ts";

/** The two networks of a stack, by name. */
export interface StackNetworks {
  /** Of workload and proxy: no way out of it, and none in. The workload has no other. */
  readonly inside: string;
  /** Of the proxy alone: its port is published here. */
  readonly outside: string;
}

/**
 * An internal network of Docker is closed to other networks only: the machine itself has an address in it, by which the
 * workload would reach every service of this machine that listens on all interfaces, and every program of this machine the
 * workload. Without that address neither finds the other. Podman knows no such option.
 */
const CLOSED_TO_HOST: Readonly<Record<EngineName, readonly string[]>> = {
  docker: ["--opt", "com.docker.network.bridge.inhibit_ipv4=true"],
  podman: [],
};

export function stackNetworks(stackId: string): StackNetworks {
  return { inside: `polaris-${stackId}-inside`, outside: `polaris-${stackId}-outside` };
}

/**
 * Makes the networks of a stack that are not there.
 *
 * @throws {PolarisError} CONTAINER_ENGINE_FAILED
 */
export async function ensureNetworks(
  engine: EngineName,
  stackId: string,
  signal: AbortSignal,
): Promise<void> {
  const { inside, outside } = stackNetworks(stackId);
  const names = new Set(await listNetworks(engine, stackId, "{{.Name}}"));
  const label = ["--label", `${STACK_LABEL}=${stackId}`];
  if (!names.has(inside)) {
    const options = ["--internal", ...CLOSED_TO_HOST[engine], ...label];
    await runEngine(engine, ["network", "create", ...options, inside], { signal });
  }
  if (!names.has(outside)) await runEngine(engine, ["network", "create", ...label, outside], { signal });
}

/**
 * Removes the networks of a stack; its containers have to be gone.
 *
 * @throws {PolarisError} CONTAINER_ENGINE_FAILED
 */
export async function removeNetworks(engine: EngineName, stackId: string): Promise<void> {
  for (const id of await listNetworks(engine, stackId)) {
    await runEngine(engine, ["network", "rm", id]);
  }
}

/** The networks of a stack, by id unless told otherwise. */
export async function listNetworks(
  engine: EngineName,
  stackId: string,
  format = "{{.ID}}",
): Promise<string[]> {
  const filter = `label=${STACK_LABEL}=${stackId}`;
  return splitLines(await runEngine(engine, ["network", "ls", "--filter", filter, "--format", format]));
}
