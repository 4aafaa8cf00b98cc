import { lstat, readFile, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { z } from "zod";
import { stateUnwritable, writeFileAtomic } from "../atomic-file.ts";
import { makeFolder } from "../make-folder.ts";
import { ENGINE_NAMES } from "./containers/engine.ts";
import { createHomeFolder } from "./home-folder.ts";
import type { StackPaths } from "./stack-paths.ts";

const port = z.int().min(1).max(65535);

/** What a local stack remembers between commands: choices that have to stay as they are. No secret is in it. */
const stateSchema = z.strictObject({
  version: z.literal(1),
  name: z.string(),
  stack: z.string(),
  /** Chosen at the first deploy and kept, so that the endpoint stays the same. */
  ports: z.strictObject({ trust: port, workload: port, proxy: port }),
  /** Of the endpoint; stacks of before TLS have none. */
  scheme: z.enum(["http", "https"]).default("http"),
  /** What runs its containers; absent: it has none. Written before there is one. */
  engine: z.enum(ENGINE_NAMES).exactOptional(),
});

export type LocalState = z.infer<typeof stateSchema>;

/** The stack's state, or undefined if it was never deployed or is destroyed. */
export async function loadState(paths: StackPaths): Promise<LocalState | undefined> {
  let text: string;
  try {
    text = await readFile(paths.state, "utf8");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw new PolarisError("STATE_CORRUPT", `cannot read ${paths.state}`, { cause });
  }
  try {
    return stateSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new PolarisError("STATE_CORRUPT", `${paths.state} is not a state of polaris`, {
      hint: `remove that file and deploy again: the key in ${paths.trustDir} stays, the endpoint may get another port`,
      cause,
    });
  }
}

export async function saveState(paths: StackPaths, state: LocalState): Promise<void> {
  await writeFileAtomic(paths.state, `${JSON.stringify(state, null, 2)}\n`);
}

/** Creates the stack's folders, closed to everybody else. */
export async function createStackFolders(paths: StackPaths): Promise<void> {
  await createHomeFolder(paths.home);
  await makeFolder(paths.stackDir, 0o700);
}

/** Removes what a destroyed stack leaves, but not its key: that is the trust folder. */
export async function removeState(paths: StackPaths): Promise<void> {
  for (const path of [
    dirname(paths.tokenFile),
    dirname(paths.machineCredential),
    paths.trustConfig,
    paths.tokenAgentConfig,
    paths.containers.folder,
    ...((await isOwn(paths.socketDir)) ? [paths.socketDir] : []),
    `${paths.stackDir}/logs`,
    `${paths.stackDir}/run`,
    // Last: as long as it is there, the stack is there, and the next destroy goes on.
    paths.state,
  ]) {
    await rm(path, { recursive: true, force: true }).catch((cause: unknown) => {
      throw stateUnwritable(path, cause);
    });
  }
}

/** In a folder for everybody, somebody else may have taken the name: that is not ours to remove. */
async function isOwn(path: string): Promise<boolean> {
  return lstat(path).then(
    ({ uid }) => uid === process.getuid?.(),
    () => false,
  );
}
