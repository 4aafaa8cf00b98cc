import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import * as fc from "fast-check";
import { nextCommand, quoteForShell } from "./next-command.ts";

test("a shell reads back every word that is quoted for it", () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1, unit: "grapheme" }), (word) => {
      fc.pre(!word.includes("\0"));
      const read = execFileSync("/bin/sh", ["-c", `printf %s ${quoteForShell(word)}`], { encoding: "utf8" });
      assert.equal(read, word);
    }),
    { numRuns: 50, examples: [["quo'te\"$(id)"], ["a b\nc"], ["-n"], ["`id`"]] },
  );
});

test("a next command carries the folder, the file and the stack that this one had", () => {
  assert.match(nextCommand({}, "verify"), /^(npx )?polaris verify$/);
  assert.match(
    nextCommand({ cwd: "my shop", config: "p.yaml", stack: "dev" }, "logs -f"),
    /polaris logs -f -C 'my shop' -c p\.yaml -s dev$/,
  );
});
