import * as z from "zod";

import { configSchema } from "./schema.ts";

/** The keywords of JSON Schema (draft 2020-12) that the schema of polaris.yaml uses. */
export interface JsonSchema {
  readonly $schema?: string;
  readonly title?: string;
  readonly description?: string;
  readonly type?: string;
  readonly default?: unknown;
  readonly examples?: readonly unknown[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly items?: JsonSchema;
  readonly allOf?: readonly JsonSchema[];
  readonly anyOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly propertyNames?: JsonSchema;
  readonly additionalProperties?: false | JsonSchema;
}

/**
 * JSON Schema of polaris.yaml as people write it (defaults not filled in), for editors and other tools. It cannot say
 * everything that the loader checks: address ranges, lengths of durations and what several keys together must satisfy.
 */
export function configJsonSchema(): JsonSchema {
  const { $schema, ...rest } = z.toJSONSchema(configSchema, { io: "input", target: "draft-2020-12" });
  return { $schema, title: "polaris.yaml", ...rest } as JsonSchema;
}

let cachedSchema: JsonSchema | undefined;

/** The keys that may stand in the map at a path; none where keys are free. */
export function knownKeysAt(path: readonly (string | number)[]): string[] {
  cachedSchema ??= configJsonSchema();
  let schema: JsonSchema | undefined = cachedSchema;
  for (const step of path) {
    const values: false | JsonSchema | undefined = schema?.additionalProperties;
    schema = propertiesOf(schema)[String(step)] ?? (values === false ? undefined : values) ?? schema?.items;
  }
  return Object.keys(propertiesOf(schema));
}

/** The keys of a map, also of one that is only one of several forms. */
export function propertiesOf(schema: JsonSchema | undefined): Readonly<Record<string, JsonSchema>> {
  const forms = [schema, ...(schema?.anyOf ?? [])];
  return Object.assign({}, ...forms.map((form) => form?.properties)) as Record<string, JsonSchema>;
}
