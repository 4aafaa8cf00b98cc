import { basename, dirname } from "node:path";

import { PolarisError } from "@polaris-cvm/sdk/errors";

import { createFileAtomic, writeFileAtomic } from "../atomic-file.ts";
import { makeFolder } from "../make-folder.ts";
import { prepareEditorSchema } from "./editor-schema.ts";
import { renderInitConfig } from "./init-template.ts";
import type { InitAnswers } from "./init-template.ts";

/** polaris.yaml is for everybody who reads the repository. */
const CONFIG_MODE = 0o644;

/**
 * Writes polaris.yaml from the answers of `polaris init`, whole or not at all, making its folder if needed.
 *
 * @throws {PolarisError} USAGE_INVALID if there is one already and `overwrite` is false; CONFIG_INVALID for an answer that
 *   is not valid; STATE_UNWRITABLE
 */
export async function writeInitConfig(
  path: string,
  answers: InitAnswers,
  { overwrite }: { readonly overwrite: boolean },
): Promise<void> {
  const projectDir = dirname(path);
  // Answers first: what is not valid leaves no folder behind.
  renderInitConfig(answers, ".");
  await makeFolder(projectDir);
  const text = renderInitConfig(answers, await prepareEditorSchema(projectDir));
  if (overwrite) {
    await writeFileAtomic(path, text, { mode: CONFIG_MODE });
    return;
  }
  if (await createFileAtomic(path, text, { mode: CONFIG_MODE })) return;
  throw new PolarisError("USAGE_INVALID", `${basename(path)} is there already`, {
    hint: "polaris deploy uses it; --force overwrites it",
  });
}
