import assert from "node:assert/strict";
import { test } from "node:test";
import type { Command } from "commander";
import { createProgram } from "./program.ts";

/** What the help of a command says after its flags. */
function readAfterHelp(command: Command): string {
  let help = "";
  command.configureOutput({ writeOut: (text) => (help += text) });
  command.outputHelp();
  return help.slice(command.helpInformation().length);
}

function* walk(command: Command): Generator<Command> {
  yield command;
  for (const sub of command.commands) yield* walk(sub);
}

/** The command that the words call, and the words that are left for it. */
function resolve(program: Command, words: readonly string[]): { command: Command; rest: readonly string[] } {
  const [first = ""] = words;
  const sub = program.commands.find((known) => known.name() === first || known.aliases().includes(first));
  return sub === undefined ? { command: program, rest: words } : resolve(sub, words.slice(1));
}

test("shows only examples that the program takes", () => {
  const program = createProgram();
  let count = 0;
  for (const shown of walk(program)) {
    // A comment stands three blanks or more behind its example.
    for (const [, line = ""] of readAfterHelp(shown).matchAll(/\bpolaris ([a-z][^\n)|]*)/g)) {
      const words = (line.split(/ {3,}/)[0] ?? "").trim().split(/\s+/);
      const { command, rest } = resolve(program, words);
      assert.notEqual(command, program, `no command: polaris ${line}`);
      for (const word of rest.filter((candidate) => candidate.startsWith("-"))) {
        const isKnown = command.options.some((option) => option.long === word || option.short === word);
        assert.ok(isKnown, `${word} in: polaris ${line}`);
      }
      count += 1;
    }
  }
  assert.ok(count >= 15, `${count} examples`);
});

test("describes every command, argument and flag", () => {
  for (const command of walk(createProgram())) {
    assert.notEqual(command.description(), "", command.name());
    for (const argument of command.registeredArguments)
      assert.notEqual(argument.description, "", argument.name());
    for (const option of command.options)
      if (!option.hidden) assert.notEqual(option.description, "", `${command.name()} ${option.flags}`);
  }
});

test("gives no flag two meanings within a command, and no two variables to one flag", () => {
  const variables = new Map<string, string>();
  for (const command of walk(createProgram())) {
    const names = command.options
      .flatMap(({ long, short }) => [long, short])
      .filter((name) => name !== undefined);
    assert.equal(new Set(names).size, names.length, command.name());
    for (const { envVar, long = "" } of command.options) {
      if (envVar === undefined) continue;
      assert.equal(envVar, `POLARIS_${long.slice(2).replaceAll("-", "_").toUpperCase()}`);
      assert.equal(variables.get(envVar) ?? long, long);
      variables.set(envVar, long);
    }
  }
  assert.ok(variables.size >= 5);
});
