import type { EngineName } from "./engine.ts";
import { runEngine } from "./engine.ts";

/** Every container and network of ours has this label, with the stack's id as its value. */
export const STACK_LABEL = "polaris.stack";

/** The part that a container is of. */
export const PART_LABEL = "polaris.part";

/** How long a container has to end by itself before it is killed, in seconds. */
export const STOP_SECONDS = 5;

/**
 * Removes the containers of a stack, or those of one of its parts, whatever they are doing, with the unnamed volumes that
 * their images asked for. For containers whose own process cannot do it any more.
 *
 * @throws {PolarisError} CONTAINER_ENGINE_FAILED
 */
export async function removeContainers(
  engine: EngineName,
  { stackId, part }: { readonly stackId: string; readonly part?: string },
): Promise<void> {
  const ids = await listContainers(engine, { stackId, ...(part !== undefined && { part }) });
  if (ids.length === 0) return;
  // One that ends at this moment is gone when it is to be removed: --force takes that for done.
  await runEngine(engine, ["rm", "--force", "--volumes", ...ids]);
}

/** The ids of a stack's containers, also of those that are not running. */
export async function listContainers(
  engine: EngineName,
  { stackId, part }: { readonly stackId: string; readonly part?: string },
): Promise<string[]> {
  const filters = [
    `label=${STACK_LABEL}=${stackId}`,
    ...(part === undefined ? [] : [`label=${PART_LABEL}=${part}`]),
  ];
  const args = ["ps", "--all", "--no-trunc", "--quiet", ...filters.flatMap((filter) => ["--filter", filter])];
  return splitLines(await runEngine(engine, args));
}

export function splitLines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}
