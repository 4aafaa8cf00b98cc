import { fieldsOf, listOf, textOf } from "./fields.ts";
import type { Fields } from "./fields.ts";
import { UNKNOWN } from "./property-values.ts";
import {
  BOOLEAN,
  FLOAT,
  INTEGER,
  isFlattened,
  LIST,
  MAP,
  renameProperties,
  SET,
  terraformName,
  TEXT,
} from "./provider-schema.ts";
import type { ResourceSchema, SchemaProperty } from "./provider-schema.ts";

export interface InputFault {
  /** Below the resource: `bootDisk.initializeParams.size`. */
  readonly path: string;
  readonly reason: string;
}

const TYPE_NAMES: Readonly<Record<number, string>> = {
  [BOOLEAN]: "a boolean",
  [INTEGER]: "a number",
  [FLOAT]: "a number",
  [TEXT]: "a string",
};

/**
 * All faults of a resource's inputs by the provider's schema. The real provider drops unknown properties without a word; here they
 * are faults, because a program of ours that gives one is wrong.
 */
export function findInputFaults(schema: ResourceSchema, inputs: Fields): readonly InputFault[] {
  return findFieldFaults(schema.properties, inputs, "");
}

function findFieldFaults(
  properties: ReadonlyMap<string, SchemaProperty>,
  fields: Fields,
  parent: string,
): readonly InputFault[] {
  const faults: InputFault[] = [];
  for (const [name, property] of properties) {
    if (property.required === true && (fields[name] === undefined || fields[name] === null)) {
      const argument = terraformName(name);
      faults.push({
        path: join(parent, name),
        reason: `Missing required argument. The argument ${JSON.stringify(argument)} is required, but no definition was found.`,
      });
    }
  }
  for (const [name, value] of Object.entries(fields)) {
    const path = join(parent, name);
    const property = properties.get(name);
    if (name === "__defaults" || value === null || value === undefined) continue;
    if (property === undefined) {
      faults.push({ path, reason: `unknown property ${JSON.stringify(name)}` });
    } else if (property.optional !== true && property.required !== true) {
      faults.push({ path, reason: `${JSON.stringify(name)} is the cloud's to choose, not an input` });
    } else {
      faults.push(...findValueFaults(property, value, path));
    }
  }
  return faults;
}

function findValueFaults(property: SchemaProperty, value: unknown, path: string): readonly InputFault[] {
  if (value === UNKNOWN) return [];
  if (isFlattened(property)) {
    return Array.isArray(value)
      ? [expected("one value", value, path)]
      : findElementFaults(property, value, path);
  }
  if (property.type === LIST || property.type === SET) {
    if (!Array.isArray(value)) return [expected("a list", value, path)];
    if (property.maxItems !== undefined && value.length > property.maxItems) {
      return [{ path, reason: `expected at most ${property.maxItems} item(s), got ${value.length}` }];
    }
    return listOf(value).flatMap((element, index) =>
      findElementFaults(property, element, `${path}[${index}]`),
    );
  }
  if (property.type === MAP) {
    if (typeof value !== "object" || Array.isArray(value)) return [expected("a map", value, path)];
    return Object.entries(fieldsOf(value)).flatMap(([key, element]) =>
      typeof element === "string" ? [] : [expected("a string", element, `${path}[${JSON.stringify(key)}]`)],
    );
  }
  return findScalarFaults(property, value, path);
}

function findElementFaults(property: SchemaProperty, value: unknown, path: string): readonly InputFault[] {
  if (value === UNKNOWN) return [];
  const block = property.element?.resource;
  if (block !== undefined) {
    if (typeof value !== "object" || value === null) return [expected("an object", value, path)];
    return findFieldFaults(renameProperties(block), fieldsOf(value), path);
  }
  return property.element?.schema === undefined ? [] : findValueFaults(property.element.schema, value, path);
}

function findScalarFaults(property: SchemaProperty, value: unknown, path: string): readonly InputFault[] {
  const wanted = TYPE_NAMES[property.type] ?? "a string";
  if (`a ${typeof value}` !== wanted) return [expected(wanted, value, path)];
  if (property.type === INTEGER && !Number.isInteger(value)) return [expected("a whole number", value, path)];
  return [];
}

function expected(wanted: string, value: unknown, path: string): InputFault {
  const got = Array.isArray(value) ? "a list" : typeof value === "object" ? "an object" : `a ${typeof value}`;
  return { path, reason: `expected ${wanted}, got ${got} ${textOf(value)}`.trimEnd() };
}

function join(parent: string, name: string): string {
  return parent === "" ? name : `${parent}.${name}`;
}
