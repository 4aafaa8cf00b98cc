import { dirname } from "node:path";
import { isPolarisError } from "@polaris-cvm/sdk/errors";
import { ensurePrivateFolder, writeFileDurably } from "../trust/durable-file.ts";
import type { Log } from "../trust/log.ts";

export interface TokenFileOptions {
  readonly path: string;
  /** Group that may read it besides this user; its folder is there then. */
  readonly group?: number | null;
  readonly requestToken: (signal: AbortSignal) => Promise<string>;
  readonly refreshMs: number;
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Rejects when the signal is aborted. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly signal: AbortSignal;
}

const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 30_000;
/** Longest sleep without a look at the clock. */
const MAX_SLEEP_MS = 15_000;

/**
 * Keeps a fresh token in a file (0600, with a group 0640, replaced as a whole) until the signal is aborted. When there is none to be had, the
 * old one stays and it tries again, at first soon and at last every 30 seconds.
 */
export async function keepTokenFile(options: TokenFileOptions): Promise<void> {
  let retryMs = FIRST_RETRY_MS;
  try {
    while (!options.signal.aborted) {
      const refreshed = await refresh(options, retryMs);
      if (options.signal.aborted) return;
      await sleepUntil(options.now() + (refreshed ? options.refreshMs : retryMs), options);
      retryMs = refreshed ? FIRST_RETRY_MS : Math.min(MAX_RETRY_MS, retryMs * 2);
    }
  } catch (error) {
    if (!options.signal.aborted) throw error;
  }
}

async function refresh(options: TokenFileOptions, retryMs: number): Promise<boolean> {
  try {
    const token = await options.requestToken(options.signal);
    const { group = null } = options;
    if (group === null) await ensurePrivateFolder(dirname(options.path));
    await writeFileDurably(options.path, token, group);
    options.log("info", "token file written");
    return true;
  } catch (error) {
    if (!isPolarisError(error)) throw error;
    if (options.signal.aborted) return false;
    options.log("warn", "token file not written", { code: error.code, message: error.message, retryMs });
    return false;
  }
}

/** Timers stand still while a computer sleeps, and tokens expire meanwhile: the clock decides, in short steps. */
async function sleepUntil(deadlineMs: number, options: TokenFileOptions): Promise<void> {
  for (;;) {
    const remainingMs = deadlineMs - options.now();
    if (remainingMs <= 0) return;
    await options.sleep(Math.min(remainingMs, MAX_SLEEP_MS), options.signal);
  }
}
