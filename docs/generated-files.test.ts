import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { configJsonSchema } from "@polaris-cvm/stacks/config/json-schema.ts";

import { renderConfigurationPage } from "./configuration-page.ts";
import { formatJson } from "./format-json.ts";
import { findStaleFiles, GENERATED_FILES, writeStaleFiles } from "./generated-files.ts";

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "polaris-docs-"));
});
after(async () => {
  await rm(folder, { recursive: true, force: true });
});

test("has every generated file in sync with the code", async () => {
  assert.deepEqual(await findStaleFiles(GENERATED_FILES), []);
});

test("names what is missing or changed, and writes only that", async () => {
  const root = pathToFileURL(`${folder}/`);
  const files = [
    { path: "docs/a.md", render: () => "a\n" },
    { path: "docs/b.md", render: () => "b\n" },
    { path: "docs/c.md", render: () => "c\n" },
  ];
  await mkdir(join(folder, "docs"));
  await writeFile(join(folder, "docs/a.md"), "a\n");
  await writeFile(join(folder, "docs/b.md"), "b\r\n");
  assert.deepEqual(await findStaleFiles(files, root), ["docs/b.md", "docs/c.md"]);
  assert.deepEqual(await writeStaleFiles(files, root), ["docs/b.md", "docs/c.md"]);
  assert.equal(await readFile(join(folder, "docs/b.md"), "utf8"), "b\n");
  assert.deepEqual(await findStaleFiles(files, root), []);
});

test("lists every key of the schema once, with its default", () => {
  const rows = [...renderConfigurationPage().matchAll(/^\| `([^`]+)` \| (.*) \| (.*) \| (.+) \|$/gm)];
  const keys = rows.map((row) => row[1]);
  assert.equal(new Set(keys).size, keys.length);
  for (const key of Object.keys(configJsonSchema().properties ?? {})) assert.ok(keys.includes(key), key);
  for (const key of ["workload.secrets.<name>.fromEnv", "proxy.encryption.requests", "targets.local.files"]) {
    assert.ok(keys.includes(key), key);
  }
  const defaults = new Map(rows.map((row) => [row[1], row[3]]));
  assert.equal(defaults.get("name"), "required");
  assert.equal(defaults.get("target"), "`local`");
  assert.equal(defaults.get("proxy.allowFrom"), '`["0.0.0.0/0"]`');
  assert.equal(defaults.get("proxy.port"), "");
});

test("writes JSON with lists on one line where they fit", () => {
  const value = { a: [], b: {}, c: ["x", ["y"]], d: [{ e: 1 }], f: ["x".repeat(60), "y".repeat(60)] };
  const text = formatJson(value);
  assert.deepEqual(JSON.parse(text), value);
  assert.equal(
    text,
    `{\n  "a": [],\n  "b": {},\n  "c": ["x", ["y"]],\n  "d": [\n    {\n      "e": 1\n    }\n  ],\n  "f": [\n    "${"x".repeat(60)}",\n    "${"y".repeat(60)}"\n  ]\n}\n`,
  );
});
