import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import * as fc from "fast-check";
import { nameFormat } from "@polaris-cvm/stacks/config/field-formats.ts";
import { askInitAnswers, suggestName } from "./ask-init.ts";
import type { CommandContext } from "./run-command.ts";

/** A command that has nobody to ask. */
const UNATTENDED: CommandContext = {
  cwd: "/",
  flags: {},
  interactive: false,
  signal: new AbortController().signal,
  note: () => undefined,
  event: () => undefined,
  warn: () => undefined,
};

async function makeFolder(context: TestContext, ...files: readonly string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-init-"));
  context.after(() => rm(folder, { recursive: true }));
  for (const file of files) await writeFile(join(folder, file), "");
  return folder;
}

test("makes a folder's name the name of a project", () => {
  const expected: Readonly<Record<string, string>> = {
    shop: "shop",
    "My Shop": "my-shop",
    shop_v2: "shop-v2",
    "2024-shop": "shop",
    "--shop--": "shop",
    ".hidden": "hidden",
    "a   b...c": "a-b-c",
    "this-name-is-longer-than-thirty-characters": "this-name-is-longer-than-thirt",
    "twenty-nine-characters-then-a-hyphen": "twenty-nine-characters-then-a",
  };
  for (const [folder, name] of Object.entries(expected)) assert.equal(suggestName(folder), name);
});

test("calls it app where nothing is left of the folder's name", () => {
  for (const folder of ["", "123", "---", "日本", "/"]) assert.equal(suggestName(folder), "app");
});

test("suggests only what polaris.yaml takes, whatever the folder is called", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 60 }), (folder) => {
      assert.equal(nameFormat.safeParse(suggestName(folder)).success, true, suggestName(folder));
    }),
  );
});

test("without anybody to ask takes the flags, then what the folder shows, then the defaults", async (context) => {
  const folder = await makeFolder(context, "main.py", "index.js");
  assert.deepEqual(await askInitAnswers(UNATTENDED, {}, folder, "My Shop"), {
    name: "my-shop",
    run: ["node", "index.js"],
    requests: "required",
    responses: "required",
    key: "hsm",
  });
  assert.deepEqual(
    await askInitAnswers(
      UNATTENDED,
      {
        name: "other",
        run: `python3 "the main.py"`,
        healthPath: "/healthz",
        requests: "off",
        responses: "optional",
        key: "ephemeral",
      },
      folder,
      "My Shop",
    ),
    {
      name: "other",
      run: ["python3", "the main.py"],
      healthPath: "/healthz",
      requests: "off",
      responses: "optional",
      key: "ephemeral",
    },
  );
});

test("refuses to guess a program, and an empty one", async (context) => {
  const folder = await makeFolder(context);
  for (const run of [undefined, "", "  "]) {
    await assert.rejects(askInitAnswers(UNATTENDED, { run }, folder, "shop"), {
      code: "USAGE_INVALID",
      message: "nothing says which program to run",
    });
  }
});
