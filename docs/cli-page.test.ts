import assert from "node:assert/strict";
import { test } from "node:test";
import type { Command } from "commander";
import { ERROR_CODES } from "@polaris-cvm/sdk/errors";

import { createProgram } from "../cli/src/program.ts";
import { renderCliPage } from "./cli-page.ts";

const page = renderCliPage();
const lines = page.split("\n");

function* walk(command: Command, words: readonly string[]): Generator<readonly [readonly string[], Command]> {
  yield [words, command];
  for (const sub of command.commands) yield* walk(sub, [...words, sub.name()]);
}

test("has a section for every command that does something, linked from the table", () => {
  for (const [words, command] of walk(createProgram(), ["polaris"])) {
    if (command.commands.length > 0) continue;
    assert.ok(lines.includes(`## ${words.join(" ")}`), words.join(" "));
    assert.ok(page.includes(`(#${words.join("-")})`), words.join("-"));
    assert.ok(page.includes(command.description()), command.description());
    for (const alias of command.aliases()) assert.ok(page.includes(`\`polaris ${alias}\``), alias);
  }
});

test("has every flag that is not hidden, those of every command once", () => {
  for (const [words, command] of walk(createProgram(), ["polaris"])) {
    for (const option of command.options) {
      const rows = lines.filter((line) => line.startsWith(`| \`${option.flags}\` |`));
      assert.equal(rows.length > 0, !option.hidden, `${words.join(" ")} ${option.flags}`);
      if (option.flags === "--json" || option.envVar === "POLARIS_STACK") assert.equal(rows.length, 1);
      if (option.envVar !== undefined) assert.ok(page.includes(`| \`${option.envVar}\` |`), option.envVar);
    }
  }
});

test("has every error code with its exit code and HTTP status, and beside its exit code", () => {
  for (const [code, facts] of Object.entries(ERROR_CODES)) {
    const status = "http" in facts ? String(facts.http) : "";
    assert.equal(
      lines.filter((line) => line.startsWith(`| \`${code}\` | ${facts.exit} | ${status} | `)).length,
      1,
      code,
    );
    const row = lines.find((line) => line.startsWith(`| ${facts.exit} | `));
    assert.ok(row?.includes(`\`${code}\``), `${code} in the row of exit code ${facts.exit}`);
  }
});

test("shows the examples of the commands' help as code and the rest as text", () => {
  assert.ok(
    page.includes("\n```\npolaris lock\npolaris lock --check --stack prod\npolaris lock --update\n```\n"),
  );
  assert.ok(
    page.includes("\n\nExpectations come from the lock file, never from the endpoint that is checked.\n"),
  );
});
