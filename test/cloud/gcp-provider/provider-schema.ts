/** The real provider's own schema: what a resource may be given, in Terraform's names and types. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Terraform's numbers for types. */
export const BOOLEAN = 1;
export const INTEGER = 2;
export const FLOAT = 3;
export const TEXT = 4;
export const LIST = 5;
export const MAP = 6;
export const SET = 7;

export interface SchemaProperty {
  readonly type: number;
  readonly required?: boolean;
  readonly optional?: boolean;
  readonly computed?: boolean;
  readonly forceNew?: boolean;
  readonly maxItems?: number;
  readonly element?: { readonly schema?: SchemaProperty; readonly resource?: SchemaProperties };
}

export type SchemaProperties = Readonly<Record<string, SchemaProperty>>;

interface Mapping {
  readonly tok: string;
  readonly fields: Readonly<Record<string, { readonly name?: string }>>;
}

interface ProviderSchema {
  readonly provider: {
    readonly schema: SchemaProperties;
    readonly resources: Readonly<Record<string, SchemaProperties>>;
  };
  readonly mapping: { readonly resources: Readonly<Record<string, Mapping>> };
}

/** A resource's properties by the names that programs use. */
export interface ResourceSchema {
  readonly token: string;
  readonly properties: ReadonlyMap<string, SchemaProperty>;
}

const SCHEMA_FILE = fileURLToPath(
  new URL("../../../../shared/schemas/google/provider-9.35.0.json", import.meta.url),
);

/** For the `skip` of a test, and for one line of whoever starts the provider: why inputs are not checked, or false. */
export const SCHEMA_MISSING = existsSync(SCHEMA_FILE)
  ? false
  : "the provider's schema is not here (../shared/schemas/google): inputs are not checked against it";

let loaded: ProviderSchema | undefined;

/** The schema, or undefined where its folder is absent. */
export function loadProviderSchema(): ProviderSchema | undefined {
  if (SCHEMA_MISSING !== false) return undefined;
  loaded ??= JSON.parse(readFileSync(SCHEMA_FILE, "utf8")) as ProviderSchema;
  return loaded;
}

/** @returns the resource's schema; undefined where the folder is absent or the type is not in it */
export function findResourceSchema(token: string): ResourceSchema | undefined {
  const schema = loadProviderSchema();
  if (schema === undefined) return undefined;
  const entry = Object.entries(schema.mapping.resources).find(([, mapping]) => mapping.tok === token);
  const properties = schema.provider.resources[entry?.[0] ?? ""];
  if (entry === undefined || properties === undefined) return undefined;
  return { token, properties: renameProperties(properties, entry[1].fields) };
}

/** Properties by the names of programs: `access_config`, a list, is `accessConfigs`. */
export function renameProperties(
  properties: SchemaProperties,
  overrides: Mapping["fields"] = {},
): ReadonlyMap<string, SchemaProperty> {
  return new Map(
    Object.entries(properties).map(([name, property]) => [
      overrides[name]?.name ?? (isPlural(property) ? pluralize(pulumiName(name)) : pulumiName(name)),
      property,
    ]),
  );
}

/** Whether programs write one object where Terraform has a list. */
export function isFlattened(property: SchemaProperty): boolean {
  return (property.type === LIST || property.type === SET) && property.maxItems === 1;
}

function isPlural(property: SchemaProperty): boolean {
  return (property.type === LIST || property.type === SET) && property.maxItems !== 1;
}

export function pulumiName(name: string): string {
  return name.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

export function terraformName(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function pluralize(name: string): string {
  if (name.endsWith("s")) return name;
  return /[^aeiou]y$/.test(name) ? `${name.slice(0, -1)}ies` : `${name}s`;
}
