import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { configJsonSchema } from "@polaris-cvm/stacks/config/json-schema.ts";

import { renderCliPage } from "./cli-page.ts";
import { renderConfigurationPage } from "./configuration-page.ts";
import { formatJson } from "./format-json.ts";
import { renderProxyPage } from "./proxy-page.ts";

/** A file of the repository that is made from code. */
export interface GeneratedFile {
  /** Relative to the root of the repository. */
  readonly path: string;
  readonly render: () => string;
}

const renderConfigSchema = (): string => formatJson(configJsonSchema());

/** Everything that `npm run docs` writes, and that continuous integration wants in sync. */
export const GENERATED_FILES: readonly GeneratedFile[] = [
  { path: "docs/cli.md", render: renderCliPage },
  { path: "docs/configuration.md", render: renderConfigurationPage },
  { path: "docs/proxy.md", render: renderProxyPage },
  { path: "docs/schemas/polaris.schema.json", render: renderConfigSchema },
  // The same file in the package, where editors find it after an installation (config/editor-schema.ts).
  { path: "stacks/src/config/polaris.schema.json", render: renderConfigSchema },
];

const ROOT = new URL("../", import.meta.url);

/** The paths whose content is not what the code says. A missing file is out of sync too. */
export async function findStaleFiles(files: readonly GeneratedFile[], root: URL = ROOT): Promise<string[]> {
  const stale: string[] = [];
  for (const { path, render } of files) {
    const current = await readFile(new URL(path, root), "utf8").catch(() => undefined);
    if (current !== render()) stale.push(path);
  }
  return stale;
}

/** Writes what is out of sync and gives back the paths. */
export async function writeStaleFiles(files: readonly GeneratedFile[], root: URL = ROOT): Promise<string[]> {
  const stale = await findStaleFiles(files, root);
  for (const { path, render } of files) {
    if (stale.includes(path)) await writeFile(fileURLToPath(new URL(path, root)), render());
  }
  return stale;
}
