import { setTimeout as sleep } from "node:timers/promises";
import { isTransient } from "./connection-failure.ts";
import { discardBody, streamBody } from "./transport.ts";
import type { RegistryAnswer } from "./transport.ts";

/** Longest wait that a server can ask for; who asks for more is not asked again. */
const MAX_WAIT_MS = 60_000;

/** What the same request may be answered differently a moment later. */
const TRANSIENT_STATUSES: ReadonlySet<number> = new Set([429, 500, 502, 503, 504]);

export interface RetryOptions {
  /** How long to wait before the second attempt, the third …: there is one attempt more than there are delays. */
  readonly delaysMs: readonly number[];
  readonly signal: AbortSignal;
}

/**
 * Sends until there is an answer that time does not change, the server asks for a wait of more than a minute, or no attempt
 * is left: then the last answer is returned, and the last failure thrown, as they are. `send` must be able to start from the beginning.
 */
export async function sendWithRetries(
  send: () => Promise<RegistryAnswer>,
  { delaysMs, signal }: RetryOptions,
): Promise<RegistryAnswer> {
  for (const delayMs of delaysMs) {
    const waitMs = await tryOnce(send, delayMs);
    if (typeof waitMs !== "number") return waitMs;
    await pause(waitMs, signal);
  }
  return await send();
}

/**
 * Bytes of a known number, asked for again from where they broke off. Whoever reads them has some already, so nothing else
 * can be done about it; that the rest fits to them is for the reader to check.
 *
 * @param open  asks for the bytes from an offset on; an answer with status 200 has all of them
 * @throws what `open` throws; {PolarisError} REGISTRY_UNREACHABLE if they break off more often than there are delays, or for
 *   long
 */
export async function* streamWithRetries(
  open: (offset: number) => Promise<RegistryAnswer>,
  { byteCount, delaysMs, signal }: RetryOptions & { readonly byteCount: number },
): AsyncGenerator<Uint8Array> {
  let offset = 0;
  for (const delayMs of [...delaysMs, undefined]) {
    const answer = await open(offset);
    let known = answer.status === 200 ? offset : 0;
    try {
      for await (const chunk of streamBody(answer)) {
        const fresh = chunk.subarray(known);
        known -= chunk.byteLength - fresh.byteLength;
        offset += fresh.byteLength;
        yield fresh;
      }
      return;
    } catch (error) {
      if (!isTransient(error)) throw error;
      // Only the end of the message is missing.
      if (offset >= byteCount) return;
      if (delayMs === undefined) throw error;
      await pause(delayMs, signal);
    }
  }
}

async function pause(waitMs: number, signal: AbortSignal): Promise<void> {
  await sleep(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
}

/** @returns the answer, or how long to wait before the next attempt, in milliseconds */
async function tryOnce(
  send: () => Promise<RegistryAnswer>,
  delayMs: number,
): Promise<RegistryAnswer | number> {
  let answer: RegistryAnswer;
  try {
    answer = await send();
  } catch (error) {
    if (isTransient(error)) return delayMs;
    throw error;
  }
  if (!TRANSIENT_STATUSES.has(answer.status)) return answer;
  const askedMs = parseRetryAfter(answer.headers["retry-after"], Date.now()) ?? 0;
  // To come back earlier than it says would only make it angrier.
  if (askedMs > MAX_WAIT_MS) return answer;
  await discardBody(answer);
  return Math.max(askedMs, delayMs);
}

/**
 * The Retry-After header (RFC 9110 §10.2.3): seconds or a date.
 *
 * @returns milliseconds, 0 for a time that is over; undefined for what is neither
 */
export function parseRetryAfter(
  header: string | readonly string[] | undefined,
  nowMs: number,
): number | undefined {
  if (typeof header !== "string") return undefined;
  const waitMs = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - nowMs;
  return Number.isNaN(waitMs) ? undefined : Math.max(waitMs, 0);
}
