import assert from "node:assert/strict";
import { test } from "node:test";
import { wordsOf } from "./property-rules.ts";
import type { Rule, Rules } from "./property-rules.ts";
import {
  findResourceSchema,
  isFlattened,
  LIST,
  MAP,
  renameProperties,
  SCHEMA_MISSING,
  SET,
} from "./provider-schema.ts";
import type { SchemaProperty } from "./provider-schema.ts";
import { ALL_TYPES } from "./resources/all-types.ts";

/**
 * Where a type's rules say something else than the provider's schema.
 *
 * @param path of the properties, for the messages
 */
function findDifferences(
  rules: Rules,
  properties: ReadonlyMap<string, SchemaProperty>,
  path: string,
): readonly string[] {
  return Object.entries(rules).flatMap(([name, rule]) => {
    const here = `${path}.${name}`;
    const property = properties.get(name);
    if (property === undefined) return [`${here} is not in the schema`];
    const [ours, theirs] = [describeRule(rule), describeProperty(property)];
    const differences = ours === theirs ? [] : [`${here} is "${ours}", and "${theirs}" in the schema`];
    if (typeof rule === "string") return differences;
    const block = property.element?.resource;
    if (block === undefined) return [...differences, `${here} has no fields in the schema`];
    return [...differences, ...findDifferences(rule.rules, renameProperties(block), here)];
  });
}

function describeRule(rule: Rule): string {
  const words = wordsOf(rule);
  const origin = words.has("output") ? "output" : words.has("computed") ? "computed" : "input";
  const shape =
    typeof rule === "string" ? (["map", "set", "list"].find((word) => words.has(word)) ?? "one") : rule.shape;
  return [words.has("replace") ? "replace" : "update", origin, shape].join(" ");
}

function describeProperty(property: SchemaProperty): string {
  const isInput = property.optional === true || property.required === true;
  const origin = isInput ? (property.computed === true ? "computed" : "input") : "output";
  const shapes: Readonly<Record<number, string>> = { [MAP]: "map", [SET]: "set", [LIST]: "list" };
  const shape = isFlattened(property) ? "one" : (shapes[property.type] ?? "one");
  return [property.forceNew === true ? "replace" : "update", origin, shape].join(" ");
}

for (const type of ALL_TYPES) {
  test(`the rules of ${type.token} are those of the provider's schema`, { skip: SCHEMA_MISSING }, () => {
    const schema = findResourceSchema(type.token);
    assert.ok(schema !== undefined, "the type is in the schema");
    assert.deepEqual(findDifferences(type.rules, schema.properties, type.token), []);
    const required = [...schema.properties].filter(([, property]) => property.required === true);
    const missing = required.map(([name]) => name).filter((name) => type.rules[name] === undefined);
    assert.deepEqual(missing, [], "what must be given is handled");
  });
}

test("the names of properties are those of the Pulumi package", { skip: SCHEMA_MISSING }, () => {
  const nameOf = (token: string, name: string): boolean =>
    findResourceSchema(token)?.properties.has(name) === true;
  assert.ok(nameOf("gcp:compute/instance:Instance", "networkInterfaces"));
  assert.ok(nameOf("gcp:compute/instance:Instance", "bootDisk"));
  assert.ok(nameOf("gcp:compute/firewall:Firewall", "denies"));
  assert.ok(nameOf("gcp:kms/cryptoKey:CryptoKey", "pulumiLabels"));
});
