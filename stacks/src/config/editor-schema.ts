import { access } from "node:fs/promises";
import { dirname, join, relative } from "node:path";

import { writeFileAtomic } from "../atomic-file.ts";
import { makeFolder } from "../make-folder.ts";
import { configJsonSchema } from "./json-schema.ts";

/** Where an npm installation has the generated schema: below the project, or below a workspace root above it. */
const INSTALLED_SCHEMA = join(
  "node_modules",
  "@polaris-cvm",
  "stacks",
  "src",
  "config",
  "polaris.schema.json",
);

/** Where it is put if Polaris is not installed near the project (a global installation, npx). Not for the repository. */
const OWN_FOLDER = ".polaris";
const OWN_SCHEMA = join(OWN_FOLDER, "polaris.schema.json");

/**
 * Path of the JSON Schema for an editor, relative to the project folder. Prefers the installed file, which comes with
 * every checkout of the project; otherwise writes a copy into `.polaris`.
 *
 * @throws {PolarisError} STATE_UNWRITABLE
 */
export async function prepareEditorSchema(projectDir: string): Promise<string> {
  const installed = await findInstalledSchema(projectDir);
  if (installed !== undefined) return asReference(relative(projectDir, installed));
  const folder = join(projectDir, OWN_FOLDER);
  await makeFolder(folder, 0o700);
  await writeFileAtomic(join(folder, ".gitignore"), "*\n", { durable: false });
  await writeFileAtomic(join(projectDir, OWN_SCHEMA), `${JSON.stringify(configJsonSchema(), null, 2)}\n`, {
    durable: false,
  });
  return asReference(OWN_SCHEMA);
}

async function findInstalledSchema(projectDir: string): Promise<string | undefined> {
  for (let folder = projectDir; ; folder = dirname(folder)) {
    const candidate = join(folder, INSTALLED_SCHEMA);
    const found = await access(candidate).then(
      () => true,
      () => false,
    );
    if (found) return candidate;
    if (dirname(folder) === folder) return undefined;
  }
}

function asReference(path: string): string {
  return path.startsWith("..") ? path : `./${path}`;
}
