import assert from "node:assert/strict";
import type { RecordedProgram, RecordedResource } from "./record-program.ts";

/** What a cloud would be asked for: logical name → type, without components and providers. */
export function inventoryOf({ resources }: RecordedProgram): Readonly<Record<string, string>> {
  const cloud = resources.filter(({ type }) => type.startsWith("gcp:"));
  const inventory = Object.fromEntries(cloud.map(({ name, type }) => [name, type.slice("gcp:".length)]));
  assert.equal(Object.keys(inventory).length, cloud.length, "two resources have one name");
  return inventory;
}

/** The cloud's resource of this logical name. */
export function resourceNamed({ resources }: RecordedProgram, name: string): RecordedResource {
  const found = resources.filter((resource) => resource.name === name && resource.type.startsWith("gcp:"));
  const [resource] = found;
  assert.ok(resource !== undefined && found.length === 1, `${found.length} resources are named ${name}`);
  return resource;
}

export function resourcesOf({ resources }: RecordedProgram, type: string): readonly RecordedResource[] {
  return resources.filter((resource) => resource.type === `gcp:${type}`);
}

/** Names of all that a resource waits for, over any number of steps. */
export function waitingChain(program: RecordedProgram, name: string): ReadonlySet<string> {
  const chain = new Set<string>();
  const pending = [...resourceNamed(program, name).waitsFor];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (chain.has(next)) continue;
    chain.add(next);
    pending.push(...resourceNamed(program, next).waitsFor);
  }
  return chain;
}

/** Nothing of a program may be made by a provider that the engine finds in the environment. */
export function assertOneProvider({ resources }: RecordedProgram): void {
  const providers = resources.filter(({ type }) => type.startsWith("pulumi:providers:"));
  assert.deepEqual(
    providers.map(({ type, name }) => [type, name]),
    [["pulumi:providers:gcp", "gcp"]],
  );
  const others = resources.filter(({ type, provider }) => type.startsWith("gcp:") && provider !== "gcp");
  assert.deepEqual(
    others.map(({ name }) => name),
    [],
  );
}
