import { closeSync, openSync, writeSync } from "node:fs";
import { rename } from "node:fs/promises";
import { errnoOf, stateUnwritable } from "../atomic-file.ts";
import type { MaskText } from "./mask-secrets.ts";

/** What the engine says in one operation, for people who have to find out why it failed. */
export interface EngineLog {
  readonly path: string;
  /** Adds text as it comes; written line by line, so that a secret that comes in two pieces is found. */
  append(text: string): void;
  close(): void;
}

/** A provider that never stops to complain must not fill the disk. */
const MAX_LOG_BYTES = 32 * 1024 * 1024;

/**
 * Begins a log, readable for its owner alone; the one before it is kept as `<path>.previous`.
 *
 * @throws {PolarisError} STATE_UNWRITABLE
 */
export async function openEngineLog(path: string, mask: MaskText): Promise<EngineLog> {
  await keepPrevious(path);
  let file: number;
  try {
    file = openSync(path, "wx", 0o600);
  } catch (cause) {
    throw stateUnwritable(path, cause);
  }
  let rest = "";
  let leftBytes = MAX_LOG_BYTES;
  const write = (text: string): void => {
    const bytes = Buffer.from(mask(text)).subarray(0, leftBytes);
    if (bytes.length === 0) return;
    leftBytes -= bytes.length;
    try {
      writeSync(file, bytes);
    } catch {
      // A full disk must not end what changes a cloud: the log ends here, and what matters is told by the error itself.
      leftBytes = 0;
    }
  };
  return {
    path,
    append(text) {
      const end = text.lastIndexOf("\n") + 1;
      if (end === 0) {
        rest += text;
        return;
      }
      write(rest + text.slice(0, end));
      rest = text.slice(end);
    },
    close() {
      write(rest === "" ? "" : `${rest}\n`);
      closeSync(file);
    },
  };
}

async function keepPrevious(path: string): Promise<void> {
  try {
    await rename(path, `${path}.previous`);
  } catch (cause) {
    if (errnoOf(cause) !== "ENOENT") throw stateUnwritable(path, cause);
  }
}
