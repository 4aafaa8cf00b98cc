import { join } from "node:path";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { createFileAtomic } from "../atomic-file.ts";
import { makeFolder } from "../make-folder.ts";

/** Creates `.polaris` in a project folder, closed to everybody else and kept out of every repository. */
export async function createHomeFolder(home: string): Promise<void> {
  try {
    await makeFolder(home, 0o700);
    await createFileAtomic(join(home, ".gitignore"), "*\n");
  } catch (cause) {
    throw new PolarisError("STATE_UNWRITABLE", `cannot write to ${home}`, {
      hint: "polaris keeps its state there: make the folder writable, or free some space",
      cause,
    });
  }
}
