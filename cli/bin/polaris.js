#!/usr/bin/env node
// Plain JavaScript, so that an old Node can still read the sentence below.
import * as nodeModule from "node:module";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(
    `polaris: error: Node ${process.versions.node} is too old, 22.19 or newer is needed\n` +
      `polaris: hint: in a checkout "npm ci" brings Node 26: run "npx polaris"; elsewhere install a newer Node\n`,
  );
  process.exit(2);
}
// Half of the time of `polaris --help` is compiling; the cache keeps the compiled form. It is code that will be run, so it
// lies in a folder of the user's own: Node's default is below /tmp, where others could have put something first, and a
// relative XDG_CACHE_HOME, which does not count by its specification, would be in whatever folder this was called.
const cacheVariable = process.env.XDG_CACHE_HOME ?? "";
const cacheHome = isAbsolute(cacheVariable) ? cacheVariable : join(homedir(), ".cache");
nodeModule.enableCompileCache(join(cacheHome, "polaris", "compile-cache"));
const { main } = await import("../src/main.ts");
await main(process.argv.slice(2));
