import { existsSync } from "node:fs";
import { chmod, cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";

/** The scripts as they are in the repository. */
export const SCRIPTS = fileURLToPath(new URL("../../images/src/cos/vm/", import.meta.url));

/** For the `skip` of a test: why the machine's scripts cannot run here, or false. */
export const SCRIPTS_MISSING =
  process.platform !== "linux"
    ? "the machine's scripts run on Linux only"
    : existsSync("/usr/bin/systemd-socket-activate")
      ? false
      : "systemd is not installed here";

/** A folder that is gone after the test. */
export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-boot-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A copy of the scripts beside programs that stand for those of the machine: `PATH` begins with the folder. */
export async function copyScripts(
  t: TestContext,
  programs: Readonly<Record<string, string>>,
): Promise<string> {
  const folder = await temporaryFolder(t);
  await cp(SCRIPTS, folder, { recursive: true });
  for (const [name, text] of Object.entries(programs)) {
    await writeFile(join(folder, name), text);
    await chmod(join(folder, name), 0o755);
  }
  return folder;
}
