// Writes the generated files of the repository; with --check, writes nothing and exits with 1 if one is out of sync.
import { parseArgs } from "node:util";

import { findStaleFiles, GENERATED_FILES, writeStaleFiles } from "./generated-files.ts";

const { values } = parseArgs({ options: { check: { type: "boolean", default: false } } });
if (values.check) {
  const stale = await findStaleFiles(GENERATED_FILES);
  for (const path of stale) console.error(`${path} is out of sync: run "npm run docs" and commit the result`);
  process.exitCode = stale.length === 0 ? 0 : 1;
} else {
  for (const path of await writeStaleFiles(GENERATED_FILES)) console.error(`wrote ${path}`);
}
