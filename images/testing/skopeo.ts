/** skopeo, which reads and writes images and knows nothing of us. */
import { execFile } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Why it cannot be used; undefined: it can. */
export const skopeoMissing: string | false = await access("/usr/bin/skopeo", constants.X_OK).then(
  () => false,
  () => "skopeo is not installed here",
);

/** @returns what it printed */
export async function skopeo(...words: string[]): Promise<string> {
  const { stdout } = await run("/usr/bin/skopeo", ["--insecure-policy", ...words], {
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout;
}
