import { chmod, chown, copyFile, lstat, mkdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { errnoOf, stateUnwritable } from "../../atomic-file.ts";
import { makeFolder } from "../../make-folder.ts";
import type { Plan } from "../../plan.ts";
import type { StackPaths } from "../stack-paths.ts";

/**
 * Makes the folders of this machine that the proxy's container sees, before anything is in them: open to this user, and
 * to the proxy's group if it has one of its own. That of the key API the workload's container sees too.
 *
 * @throws {PolarisError} STATE_CORRUPT if somebody else has one of them, STATE_UNWRITABLE
 */
export async function prepareGivenFolders(
  plan: Plan,
  paths: StackPaths,
  group: number | null,
): Promise<void> {
  const { servicesDir, tlsDir, keyApiDir } = paths.containers;
  await makeFolder(dirname(paths.tokenFile), 0o700);
  await share(dirname(paths.tokenFile), group);
  // Below /tmp, where others may have been first.
  await claimPrivateFolder(paths.socketDir);
  await makeFolder(servicesDir, 0o700);
  await share(servicesDir, group);

  if (plan.workload.keyApi) {
    await makeFolder(keyApiDir, 0o700);
    await share(keyApiDir, group, KEY_API_MODES);
  }

  const { tls } = plan.proxy;
  if (tls.mode !== "files") return;
  await makeFolder(tlsDir, 0o700);
  for (const [file, name] of [
    [tls.certificate, "certificate.pem"],
    [tls.key, "key.pem"],
  ] as const) {
    await copyShared(resolve(paths.projectDir, file), join(tlsDir, name), group);
  }
  await share(tlsDir, group);
}

/** Modes of a folder that is this user's alone, and of one that a group shares with him. */
const READABLE = { own: 0o700, shared: 0o750 };

/** The proxy makes a socket in it, and whoever the workload is, it goes through. Nobody else gets as far as here. */
const KEY_API_MODES = { own: 0o711, shared: 0o771 };

async function claimPrivateFolder(folder: string): Promise<void> {
  await mkdir(folder, { mode: 0o700 }).catch((cause: unknown) => {
    if (errnoOf(cause) !== "EEXIST") throw stateUnwritable(folder, cause);
  });
  // Not stat: in a folder for everybody, a link that somebody else made must not be followed.
  const found = await lstat(folder);
  if (!found.isDirectory() || found.uid !== process.getuid?.() || (found.mode & 0o077) !== 0) {
    throw new PolarisError("STATE_CORRUPT", `${folder} is not a folder of this user alone`, {
      hint: `remove it, or run "chmod 700" on it if it is yours`,
    });
  }
}

async function share(path: string, group: number | null, modes = READABLE): Promise<void> {
  try {
    if (group !== null) await chown(path, process.getuid?.() ?? -1, group);
    await chmod(path, group === null ? modes.own : modes.shared);
  } catch (cause) {
    throw stateUnwritable(path, cause);
  }
}

async function copyShared(source: string, copy: string, group: number | null): Promise<void> {
  try {
    await copyFile(source, copy);
    if (group !== null) await chown(copy, process.getuid?.() ?? -1, group);
    await chmod(copy, group === null ? 0o600 : 0o640);
  } catch (cause) {
    throw stateUnwritable(copy, cause);
  }
}
