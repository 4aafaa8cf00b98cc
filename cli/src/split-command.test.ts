import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { splitCommand } from "./split-command.ts";

test("splits at blanks and keeps what is in quotes together", () => {
  const expected: Readonly<Record<string, readonly string[]>> = {
    "node server.js": ["node", "server.js"],
    "  node \t server.js\n": ["node", "server.js"],
    'node "my server.js" --name \'a "b" c\'': ["node", "my server.js", "--name", 'a "b" c'],
    '--title="a b"c': ["--title=a bc"],
    'sh -c ""': ["sh", "-c", ""],
    'it"\'"s': ["it's"],
    "": [],
    " \t ": [],
  };
  for (const [text, words] of Object.entries(expected)) assert.deepEqual(splitCommand(text), words, text);
});

test("expands nothing: variables, patterns and backslashes are what they look like", () => {
  assert.deepEqual(splitCommand(String.raw`node $HOME *.js a\ b ; ls`), [
    "node",
    "$HOME",
    "*.js",
    "a\\",
    "b",
    ";",
    "ls",
  ]);
});

test("refuses a quote that is not closed", () => {
  for (const text of ['node "server.js', "node 'it is", `'"`])
    assert.throws(() => splitCommand(text), { code: "USAGE_INVALID", message: /quote .* is not closed/ });
});

test("gives back any words that were quoted for it", () => {
  fc.assert(
    fc.property(fc.array(fc.string()), (words) => {
      const quoted = words.map((word) => `'${word.replaceAll("'", `'"'"'`)}'`);
      assert.deepEqual(splitCommand(quoted.join(" ")), words);
    }),
  );
});
