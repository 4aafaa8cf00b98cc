import { once } from "node:events";
import { access, constants, statfs } from "node:fs/promises";
import { createServer } from "node:net";
import { ENGINE_NAMES, findEngine } from "./containers/engine.ts";

/** One line of `polaris doctor`. */
export interface DoctorCheck {
  readonly id: string;
  readonly ok: boolean;
  /** What was found. */
  readonly found: string;
  /** What to do if it is not ok. */
  readonly hint: string;
}

/** Free space that a stack needs: keys, three logs of 30 MiB and some air. */
const ENOUGH_BYTES = 256 * 1024 * 1024;

/** What the local target needs of this machine. */
export async function examineMachine(projectDir: string): Promise<DoctorCheck[]> {
  return Promise.all([
    checkPlatform(),
    checkWritable("project-folder", projectDir),
    checkWritable("socket-folder", "/tmp"),
    checkSpace(projectDir),
    checkLoopback(),
    checkEngine(),
  ]);
}

async function checkPlatform(): Promise<DoctorCheck> {
  const ok = process.platform === "linux" || process.platform === "darwin";
  return {
    id: "platform",
    ok,
    found: `Node ${process.versions.node} on ${process.platform}-${process.arch}`,
    hint: "polaris runs on Linux and macOS; on Windows use WSL",
  };
}

async function checkWritable(id: string, folder: string): Promise<DoctorCheck> {
  const ok = await access(folder, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
  return {
    id,
    ok,
    found: `${folder} is ${ok ? "writable" : "not writable"}`,
    hint: `make ${folder} writable for you`,
  };
}

async function checkSpace(folder: string): Promise<DoctorCheck> {
  try {
    const { bavail, bsize } = await statfs(folder);
    const freeBytes = bavail * bsize;
    return {
      id: "disk-space",
      ok: freeBytes >= ENOUGH_BYTES,
      found: `${Math.floor(freeBytes / 1024 / 1024)} MiB free`,
      hint: `free some space: a stack wants ${ENOUGH_BYTES / 1024 / 1024} MiB`,
    };
  } catch (cause) {
    return {
      id: "disk-space",
      ok: false,
      found: `cannot tell: ${String(cause)}`,
      hint: `is ${folder} there?`,
    };
  }
}

/** Nothing is wrong without one: whether a project needs it, its own checks say. */
async function checkEngine(): Promise<DoctorCheck> {
  const engine = await findEngine(ENGINE_NAMES);
  return {
    id: "container-engine",
    ok: true,
    found:
      engine === undefined
        ? "no container engine answers: a program can be run (targets.local.run), an image cannot"
        : `${engine.name} ${engine.version} answers: an image can be run`,
    hint: "",
  };
}

async function checkLoopback(): Promise<DoctorCheck> {
  const server = createServer();
  try {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return { id: "loopback", ok: true, found: "can listen on 127.0.0.1", hint: "" };
  } catch (cause) {
    return { id: "loopback", ok: false, found: String(cause), hint: "the local target listens on 127.0.0.1" };
  } finally {
    server.close();
  }
}
