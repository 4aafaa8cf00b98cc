#!/usr/bin/env node
// Plain JavaScript that any Node can read: it has to be able to say that this one is too old.
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(
    "polaris-proxy: error: needs Node 22.19 or newer, this is Node " + process.versions.node + "\n",
  );
  process.exit(2);
}
await import("../src/main.ts");
