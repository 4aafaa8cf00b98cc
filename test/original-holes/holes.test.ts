import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { HOLES } from "./holes.ts";

const ROOT = new URL("../../", import.meta.url);

/** Names of the tests in a file as they stand there, also with `${…}` in them. Those that are switched off are not found. */
async function namesIn(file: string): Promise<Set<string>> {
  const source = await readFile(new URL(file, ROOT), "utf8");
  return new Set([...source.matchAll(/(?<![.\w])test\(\s*(["`])(.*?)\1,/g)].map(([, , name = ""]) => name));
}

test("every hole of the original has tests, and each of them is where the table says", async () => {
  const proxy = Array.from({ length: 10 }, (_, index) => `1.5.${index + 1}`);
  assert.deepEqual(
    HOLES.map(({ id }) => id),
    [...proxy, "U3", "U5", "U11"],
  );
  const missing: string[] = [];
  for (const { id, tests } of HOLES) {
    assert.ok(tests.length > 0, id);
    for (const [file, name] of tests) {
      if (!(await namesIn(file)).has(name)) missing.push(`${id}: ${file}: ${name}`);
    }
  }
  assert.deepEqual(missing, []);
});

test("every test beside the table is in it, under the holes that its name begins with", async () => {
  const folder = fileURLToPath(new URL(".", import.meta.url));
  const files = (await readdir(folder)).filter((file) => /(?<!^holes)\.test\.ts$/.test(file));
  assert.ok(files.length > 0);
  for (const file of files.map((name) => `test/original-holes/${name}`)) {
    const names = await namesIn(file);
    assert.ok(names.size > 0, file);
    for (const name of names) {
      const ids = HOLES.filter(({ tests }) => tests.some((entry) => entry[0] === file && entry[1] === name));
      const [claimed = ""] = name.split(": ");
      assert.deepEqual(
        ids.map(({ id }) => id).toSorted(),
        claimed.split(", ").toSorted(),
        `${file}: ${name}`,
      );
    }
  }
});
