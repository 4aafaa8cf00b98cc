#!/usr/bin/env node
// Plain JavaScript that any Node can read: it has to be able to say that this one is too old.
const [major] = process.versions.node.split(".").map(Number);
if (major < 26) {
  process.stderr.write(
    "polaris-proxy: error: needs Node 26 or newer, this is Node " + process.versions.node + "\n",
  );
  process.exit(2);
}
await import("../src/main.ts");
