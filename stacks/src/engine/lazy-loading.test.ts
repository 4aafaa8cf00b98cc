import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

/** Prints which files of Pulumi's packages are loaded after a module of this folder is. */
const SCRIPT = `
  import { _cache } from "node:module";
  await import(process.argv[1]);
  console.log(JSON.stringify(Object.keys(_cache).filter((path) => path.includes("@pulumi"))));
`;

test("nothing of Pulumi is loaded before a part is opened: it takes half a second", () => {
  for (const name of ["open-part.ts", "install-engine.ts", "find-engine.ts"]) {
    const path = fileURLToPath(new URL(name, import.meta.url));
    const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", SCRIPT, path], {
      encoding: "utf8",
    });
    assert.equal(stdout.trim(), "[]", `${name}: ${stderr}`);
  }
});
