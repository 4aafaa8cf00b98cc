/** The provider's side of `Check`: faults, made-up names, and the values that the real provider gives where a program gives none. */
import { findInputFaults } from "./check-inputs.ts";
import type { InputFault } from "./check-inputs.ts";
import { fieldsOf } from "./fields.ts";
import type { Fields } from "./fields.ts";
import type { Rules } from "./property-rules.ts";
import { findResourceSchema } from "./provider-schema.ts";
import type { ProviderConfig } from "./provider-config.ts";
import { missingPlace } from "./resource-type.ts";
import type { ResourceType } from "./resource-type.ts";

interface Given {
  /** The resource's name in the program. */
  readonly name: string;
  readonly inputs: Fields;
  /** Inputs of the last time, if there was one. */
  readonly oldInputs: Fields;
  /** From the engine; names that are made up come from it, so that a plan and its update make up the same. */
  readonly randomSeed: Uint8Array;
}

interface Checked {
  readonly inputs: Fields;
  readonly failures: readonly string[];
}

export function checkResource(type: ResourceType, config: ProviderConfig, given: Given): Checked {
  const named = addName(type, given);
  const faults = [...findSchemaFaults(type, named), ...findUnsupported(type.rules, named, "")];
  const failures = faults.map(({ path, reason }) => `${reason}. Examine values at '${given.name}.${path}'.`);
  for (const place of type.places ?? []) {
    if (named[place] === undefined && config[place] === "") failures.push(missingPlace(place));
  }
  return { inputs: addDefaults(type.defaults ?? {}, named), failures };
}

function addName(type: ResourceType, { name, inputs, oldInputs, randomSeed }: Given): Fields {
  const property = type.autonamed;
  if (property === undefined || inputs[property] !== undefined) return { ...inputs, __defaults: [] };
  const wasMadeUp = isMadeUp(type, oldInputs);
  const suffix = Buffer.from(randomSeed).toString("hex").slice(0, 7).padStart(7, "0");
  const made = wasMadeUp ? oldInputs[property] : `${name}-${suffix}`;
  return { ...inputs, [property]: made, __defaults: [property] };
}

/** Whether the resource's name was made up: only then can its successor be made before it is deleted. */
export function isMadeUp(type: ResourceType, inputs: Fields): boolean {
  const defaults: unknown = inputs["__defaults"];
  return Array.isArray(defaults) && defaults.includes(type.autonamed);
}

function findSchemaFaults(type: ResourceType, inputs: Fields): readonly InputFault[] {
  const schema = findResourceSchema(type.token);
  return schema === undefined ? [] : findInputFaults(schema, inputs);
}

/** What the real provider would send and this one would not: silence would be a lie. */
function findUnsupported(rules: Rules, inputs: Fields, parent: string): readonly InputFault[] {
  return Object.entries(inputs).flatMap(([name, value]) => {
    const path = parent === "" ? name : `${parent}.${name}`;
    const rule = rules[name];
    if (name === "__defaults" || value === undefined || value === null) return [];
    if (rule === undefined)
      return [{ path, reason: `the test provider does not handle ${JSON.stringify(name)}` }];
    if (typeof rule === "string") return [];
    const blocks: readonly unknown[] = Array.isArray(value) ? value : [value];
    return blocks.flatMap((block) => findUnsupported(rule.rules, fieldsOf(block), path));
  });
}

/** Defaults of a block are for a block that is there. */
function addDefaults(defaults: Fields, inputs: Fields): Fields {
  const filled: Record<string, unknown> = { ...inputs };
  for (const [name, value] of Object.entries(defaults)) {
    const given = inputs[name];
    if (typeof value !== "object" || value === null) filled[name] = given ?? value;
    else if (typeof given === "object" && given !== null)
      filled[name] = addDefaults(fieldsOf(value), fieldsOf(given));
  }
  return filled;
}
