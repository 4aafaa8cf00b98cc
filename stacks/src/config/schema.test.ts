import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import * as fc from "fast-check";
import { parse, stringify } from "yaml";

import { configJsonSchema, knownKeysAt } from "./json-schema.ts";
import type { JsonSchema } from "./json-schema.ts";
import { parseConfig } from "./load.ts";
import { printConfig } from "./print.ts";
import { configSchema } from "./schema.ts";

const REPOSITORY = new URL("../../../", import.meta.url);

/** Every schema in a schema, with its path. */
function listSchemas(
  schema: JsonSchema,
  path = "",
): { path: string; isField: boolean; schema: JsonSchema }[] {
  const fields = Object.entries(schema.properties ?? {}).flatMap(([name, field]) => [
    { path: `${path}.${name}`, isField: true, schema: field },
    ...listSchemas(field, `${path}.${name}`),
  ]);
  const forms = (schema.anyOf ?? []).flatMap((form) => [
    { path: `${path}|`, isField: false, schema: form },
    ...listSchemas(form, `${path}|`),
  ]);
  const inner = [schema.items, schema.additionalProperties].flatMap((child) =>
    typeof child === "object"
      ? [{ path: `${path}[]`, isField: false, schema: child }, ...listSchemas(child, `${path}[]`)]
      : [],
  );
  return [...fields, ...forms, ...inner];
}

test("describes every key, those of stacks included", () => {
  const fields = listSchemas(configJsonSchema()).filter(({ isField }) => isField);
  assert.ok(fields.length > 50, `only ${fields.length} keys found`);
  for (const { path, schema } of fields) {
    assert.ok((schema.description ?? "").length >= 20, `${path} has no description`);
    assert.match(schema.description ?? "", /^[A-Za-z].*\.$/s, path);
  }
});

test("allows no unknown key in any map of the schema", () => {
  const maps = [{ path: "", schema: configJsonSchema() }, ...listSchemas(configJsonSchema())].filter(
    ({ schema }) => schema.type === "object",
  );
  assert.ok(maps.length > 20);
  for (const { path, schema } of maps) {
    const isFree = schema.properties === undefined && typeof schema.additionalProperties === "object";
    assert.ok(isFree || schema.additionalProperties === false, `${path} takes anything`);
  }
});

test("has no default and no required key in what a stack overrides", () => {
  const overrides = configJsonSchema().properties?.["stacks"]?.additionalProperties;
  assert.ok(typeof overrides === "object");
  for (const { path, schema } of listSchemas(overrides)) {
    assert.equal(schema.default, undefined, path);
    // These are replaced as a whole: half of one would be nothing.
    if (!/\.secrets\[\]$|\.tls\|$/.test(path)) assert.equal(schema.required, undefined, path);
  }
  assert.deepEqual(Object.keys(overrides.properties ?? {}), [
    "target",
    "workload",
    "proxy",
    "key",
    "attestation",
    "trust",
    "targets",
  ]);
});

/** Without what is one for all stacks. */
function ownSection(section: string): JsonSchema | undefined {
  const own = configJsonSchema().properties?.[section];
  if (section !== "proxy" || own === undefined) return own;
  const { base: _, ...properties } = own.properties ?? {};
  return { ...own, properties };
}

test("lets stacks override with the keys and rules of the file itself", () => {
  // What a stack does not say, the rest of the file does: nothing is required of it.
  const withoutDefaults = (schema: JsonSchema): unknown =>
    JSON.parse(
      JSON.stringify(schema, (key, value: unknown) =>
        key === "default" || (key === "required" && Array.isArray(value)) ? undefined : value,
      ),
    );
  for (const section of ["workload", "proxy", "key", "attestation", "trust", "targets", "target"]) {
    const own = ownSection(section);
    const keys = knownKeysAt([section]).filter((key) => section !== "proxy" || key !== "base");
    assert.deepEqual(knownKeysAt(["stacks", "dev", section]), keys, section);
    const overrides = configJsonSchema().properties?.["stacks"]?.additionalProperties;
    assert.ok(own !== undefined && typeof overrides === "object");
    assert.deepEqual(withoutDefaults(overrides.properties?.[section] ?? {}), withoutDefaults(own), section);
  }
});

test("gives examples in the schema that the schema takes", () => {
  for (const { path, schema } of listSchemas(configJsonSchema())) {
    for (const example of schema.examples ?? []) assert.deepEqual(listViolations(schema, example), [], path);
  }
});

/**
 * A second reading of the JSON Schema, for the keywords that ours has (draft 2020-12, validation vocabulary); a keyword
 * that it does not know fails the test.
 */
function listViolations(schema: JsonSchema, value: unknown, path = "$"): string[] {
  const { $schema: _, title: _t, description: _d, default: _f, examples: _e, ...rules } = schema;
  return Object.entries(rules).flatMap(([keyword, rule]) => {
    const check = KEYWORDS[keyword];
    assert.ok(check !== undefined, `unknown keyword ${keyword}`);
    return check(rule as never, value, path, schema);
  });
}

type Check = (rule: never, value: unknown, path: string, schema: JsonSchema) => string[];

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function violation(ok: boolean, path: string, keyword: string): string[] {
  return ok ? [] : [`${path} ${keyword}`];
}

const TYPES: Record<string, (value: unknown) => boolean> = {
  object: isObject,
  array: Array.isArray,
  string: (value) => typeof value === "string",
  boolean: (value) => typeof value === "boolean",
  integer: Number.isInteger,
  number: (value) => typeof value === "number",
};

const KEYWORDS: Record<string, Check> = {
  type: (rule: string, value, path) => violation(TYPES[rule]?.(value) === true, path, "type"),
  const: (rule: unknown, value, path) => violation(rule === value, path, "const"),
  enum: (rule: unknown[], value, path) => violation(rule.includes(value), path, "enum"),
  pattern: (rule: string, value, path) =>
    violation(typeof value !== "string" || new RegExp(rule, "u").test(value), path, "pattern"),
  minLength: (rule: number, value, path) =>
    violation(typeof value !== "string" || value.length >= rule, path, "minLength"),
  maxLength: (rule: number, value, path) =>
    violation(typeof value !== "string" || value.length <= rule, path, "maxLength"),
  minimum: (rule: number, value, path) =>
    violation(typeof value !== "number" || value >= rule, path, "minimum"),
  maximum: (rule: number, value, path) =>
    violation(typeof value !== "number" || value <= rule, path, "maximum"),
  minItems: (rule: number, value, path) =>
    violation(!Array.isArray(value) || value.length >= rule, path, "minItems"),
  items: (rule: JsonSchema, value, path) =>
    Array.isArray(value)
      ? value.flatMap((item, index) => listViolations(rule, item, `${path}[${index}]`))
      : [],
  allOf: (rule: JsonSchema[], value, path) => rule.flatMap((part) => listViolations(part, value, path)),
  anyOf: (rule: JsonSchema[], value, path) =>
    violation(
      rule.some((form) => listViolations(form, value, path).length === 0),
      path,
      "anyOf",
    ),
  required: (rule: string[], value, path) =>
    isObject(value) ? rule.flatMap((key) => violation(key in value, `${path}.${key}`, "required")) : [],
  properties: (rule: Record<string, JsonSchema>, value, path) =>
    isObject(value)
      ? Object.entries(rule).flatMap(([key, part]) =>
          Object.hasOwn(value, key) ? listViolations(part, value[key], `${path}.${key}`) : [],
        )
      : [],
  propertyNames: (rule: JsonSchema, value, path) =>
    isObject(value) ? Object.keys(value).flatMap((key) => listViolations(rule, key, `${path}.${key}`)) : [],
  additionalProperties: (rule: false | JsonSchema, value, path, schema) =>
    isObject(value)
      ? Object.entries(value)
          .filter(([key]) => schema.properties === undefined || !Object.hasOwn(schema.properties, key))
          .flatMap(([key, item]) =>
            rule === false
              ? [`${path}.${key} additionalProperties`]
              : listViolations(rule, item, `${path}.${key}`),
          )
      : [],
};

const text = fc.string({ unit: "grapheme", maxLength: 12 }).filter((value) => !value.includes("\0"));
const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,29}$/);
const variable = fc
  .stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,8}$/)
  .filter((value) => !/^(PORT|HOST|POLARIS_.*)$/.test(value));
const port = fc.integer({ min: 1, max: 65_535 });
const mode = fc.constantFrom("off", "optional", "required");
const duration = fc.oneof(
  fc.integer({ min: 1, max: 1800 }).map((seconds) => `${seconds}s`),
  fc.integer({ min: 1, max: 30 }).map((minutes) => `${minutes}m`),
);
const optional: { requiredKeys: [] } = { requiredKeys: [] };

const sections = {
  workload: fc.record(
    {
      image: fc.constantFrom(
        "alpine",
        "[::1]:5000/x",
        "ghcr.io/acme/hello:1.4.2",
        `localhost:5000/a@sha256:${"0".repeat(64)}`,
      ),
      env: fc.dictionary(
        variable.map((value) => `E_${value}`),
        text,
        { maxKeys: 3, noNullPrototype: true },
      ),
      secrets: fc.dictionary(
        variable.map((value) => `S_${value}`),
        fc.record({ fromEnv: variable }, { noNullPrototype: true }),
        {
          maxKeys: 3,
          noNullPrototype: true,
        },
      ),
      port: port.filter((value) => value % 2 === 0),
      health: fc.record(
        { path: fc.constantFrom("/", "/healthz", "/a?b=c"), timeout: duration },
        { ...optional, noNullPrototype: true },
      ),
    },
    { ...optional, noNullPrototype: true },
  ),
  proxy: fc.record(
    {
      port: port.filter((value) => value % 2 === 1),
      encryption: fc.record({ requests: mode, responses: mode }, { ...optional, noNullPrototype: true }),
      tls: fc.constantFrom("off", "attested", { certificate: "tls/a.crt", key: "tls/a.key" }),
      cors: fc.record(
        { origins: fc.constantFrom([], ["*"], ["https://a.example", "http://[::1]:5173"]) },
        { ...optional, noNullPrototype: true },
      ),
      limits: fc.record(
        { maxBodyMb: fc.integer({ min: 1, max: 256 }), answerTimeout: duration },
        { ...optional, noNullPrototype: true },
      ),
      // True is not for every kind of key.
      workloadKeyApi: fc.constant(false),
      allowFrom: fc.subarray(["0.0.0.0/0", "203.0.113.0/24", "2001:db8::/32"], { minLength: 1 }),
    },
    { ...optional, noNullPrototype: true },
  ),
  key: fc.record(
    { kind: fc.constantFrom("hsm", "ephemeral"), onDestroy: fc.constantFrom("keep", "destroy") },
    { ...optional, noNullPrototype: true },
  ),
  trust: fc.record(
    { accept: fc.subarray(["local-no-tee", "other"]) },
    { ...optional, noNullPrototype: true },
  ),
};

const validFile = fc.record(
  {
    version: fc.constant(1),
    name,
    target: fc.constant("local"),
    ...sections,
    attestation: fc.constant({}),
    targets: fc.record({
      local: fc.record(
        {
          run: fc.constant(["node", "server.js"]),
          files: fc.constant(["server.js", "lib/**"]),
          engine: fc.constantFrom("auto", "process"),
        },
        { requiredKeys: ["run"], noNullPrototype: true },
      ),
    }),
    stacks: fc.dictionary(name, fc.record(sections, { ...optional, noNullPrototype: true }), {
      maxKeys: 2,
      noNullPrototype: true,
    }),
  },
  { requiredKeys: ["version", "name", "targets"], noNullPrototype: true },
);

test("reads valid files as the JSON Schema does, whatever they say", () => {
  const schema = configJsonSchema();
  fc.assert(
    fc.property(validFile, (file) => {
      assert.deepEqual(listViolations(schema, file), []);
      assert.doesNotThrow(() => parseConfig(stringify(file), { fileName: "polaris.yaml" }));
    }),
    { numRuns: 100 },
  );
});

test("refuses what the JSON Schema refuses, in words of its own", () => {
  const schema = configJsonSchema();
  const junk = fc.oneof(
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    text,
    fc.constant([]),
    fc.constant([7]),
    fc.constant({ zz: 1 }),
  );
  const paths = [
    "version",
    "name",
    "target",
    "workload",
    "proxy",
    "key",
    "attestation",
    "trust",
    "targets",
    "stacks",
    "extra",
  ];
  let refused = 0;
  fc.assert(
    fc.property(
      validFile,
      fc.constantFrom(...paths),
      fc.option(fc.constantFrom(...paths, "port", "env", "kind", "tls", "local", "dev")),
      junk,
      (file, key, inner, value) => {
        const changed = { ...file, [key]: inner === null ? value : { [inner]: value } };
        if (listViolations(schema, changed).length === 0) return;
        refused += 1;
        assert.throws(
          () => parseConfig(stringify(changed), { fileName: "polaris.yaml" }),
          (error: Error & { code?: string }) => {
            assert.match(error.code ?? "", /^(CONFIG_INVALID|TARGET_NOT_AVAILABLE)$/);
            assert.doesNotMatch(error.message, /invalid|received|undefined|\[object/i);
            return true;
          },
        );
      },
    ),
    { numRuns: 200 },
  );
  assert.ok(refused > 100, `only ${refused} changes were refused`);
});

test("prints an effective configuration that reads as the same configuration", () => {
  fc.assert(
    fc.property(validFile, fc.nat(), (file, choice) => {
      const stacks = Object.keys(file.stacks ?? {});
      const stack = stacks[choice % Math.max(1, stacks.length)] ?? "default";
      const { config } = parseConfig(stringify(file), { fileName: "polaris.yaml", stack });
      const printed = parseConfig(printConfig(config), { fileName: "printed" }).config;
      assert.deepEqual(printed, { ...config, stacks: {} });
    }),
    { numRuns: 100 },
  );
});

test("prints secrets as references", () => {
  const { config } = parseConfig(
    "version: 1\nname: a\nworkload: { secrets: { KEY: { fromEnv: MY_KEY } }, health: { timeout: 2m } }\ntargets: { local: { run: [a] } }\n",
    { fileName: "f" },
  );
  assert.equal(
    printConfig(config),
    `version: 1
name: a
target: local
workload:
  entrypoint: []
  args: []
  env: {}
  secrets:
    KEY:
      fromEnv: MY_KEY
  health:
    timeout: 2m
proxy:
  encryption:
    requests: required
    responses: required
  tls: off
  cors:
    origins: []
  limits:
    maxBodyMb: 32
    answerTimeout: 60s
  workloadKeyApi: false
  allowFrom:
    - 0.0.0.0/0
  base: docker.io/library/node:26-slim
key:
  kind: hsm
  onDestroy: keep
attestation:
  gcp:
    zone: true
trust:
  accept: []
targets:
  local:
    engine: auto
    run:
      - a
`,
  );
});

test("takes every polaris.yaml of the docs and the examples, as the JSON Schema does", async () => {
  const schema = configJsonSchema();
  const texts: string[] = [await readFile(new URL("examples/hello/polaris.yaml", REPOSITORY), "utf8")];
  for (const page of ["README.md", "docs/configuration.md"]) {
    const markdown = await readFile(new URL(page, REPOSITORY), "utf8");
    const blocks = [...markdown.matchAll(/```yaml\n(.*?)```/gs)].map((match) => match[1] ?? "");
    assert.ok(blocks.length > 0, `${page} has no example`);
    texts.push(...blocks);
  }
  for (const yaml of texts) {
    assert.ok(parseConfig(yaml, { fileName: "example" }).config.name.length > 0);
    assert.deepEqual(listViolations(schema, parse(yaml)), [], yaml);
  }
});

test("is draft 2020-12 and names itself", () => {
  const schema = configJsonSchema();
  assert.equal(schema.$schema, "https://json-schema.org/draft/2020-12/schema");
  assert.equal(schema.title, "polaris.yaml");
  assert.deepEqual(schema.required, ["version", "name"]);
  assert.deepEqual(Object.keys(schema.properties ?? {}), Object.keys(configSchema.shape));
});
