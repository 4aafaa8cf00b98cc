#!/usr/bin/env node
// Plain JavaScript, so that an old Node can still read the sentence below.
import { enableCompileCache } from "node:module";

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(
    `polaris: error: Node ${process.versions.node} is too old, 22.19 or newer is needed\n` +
      `polaris: hint: in a checkout "npm ci" brings Node 26: run "npx polaris"; elsewhere install a newer Node\n`,
  );
  process.exit(2);
}
// Half of the time of `polaris --help` is compiling; the cache keeps the compiled form (docs/architecture.md).
enableCompileCache();
const { main } = await import("../src/main.ts");
await main(process.argv.slice(2));
