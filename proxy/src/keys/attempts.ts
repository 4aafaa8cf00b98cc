import { setTimeout as sleep } from "node:timers/promises";
import { PolarisError } from "@polaris-cvm/sdk/errors";

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 30_000;

export interface AttemptsOptions {
  /** False for a failure that callers should hear of instead of waiting for the next attempt, which comes all the same. */
  readonly isWorthWaiting: (error: unknown) => boolean;
  /** Told of every failed attempt. */
  readonly onFailure: (error: unknown) => void;
  /** The wait after an attempt that failed; `failures` is how many did before it. Default: {@link backoffMs}. */
  readonly delayMs?: (failures: number, error: unknown) => number;
  /** Waits between attempts. Default: real time. */
  readonly wait?: Wait;
}

/** Resolves after a time, rejects when the signal aborts. */
export type Wait = (delayMs: number, signal: AbortSignal) => Promise<void>;

export const waitRealTime: Wait = (delayMs, signal) => sleep(delayMs, undefined, { signal });

/** Attempts at something that may take many tries, shared by all who wait for it. */
export interface Attempts<Value> {
  /**
   * The value of the attempts under way, or of new ones; there is never more than one attempt at a time. Rejects with
   * the last failure once `signal` aborts, while the attempts go on for others.
   */
  value(signal: AbortSignal): Promise<Value>;
  /** Begins without waiting for the end; does nothing while attempts are under way. */
  start(): void;
  /** Ends the attempts for good. */
  stop(): void;
}

interface Waiter<Value> {
  resolve(value: Value): void;
  reject(error: unknown): void;
}

/**
 * Tries until it works or is stopped: a machine that has just started is often refused for minutes until a grant has
 * spread, and must find its way without anybody's help.
 */
export function createAttempts<Value>(
  attempt: (signal: AbortSignal) => Promise<Value>,
  { isWorthWaiting, onFailure, delayMs = backoffMs, wait = waitRealTime }: AttemptsOptions,
): Attempts<Value> {
  const stopping = new AbortController();
  const waiters = new Set<Waiter<Value>>();
  let isRunning = false;
  /** Between two attempts. */
  let isResting = false;
  let lastFailure: unknown;

  async function run(): Promise<void> {
    for (let failures = 0; !stopping.signal.aborted; failures++) {
      try {
        const value = await attempt(stopping.signal);
        isRunning = false;
        lastFailure = undefined;
        settle((waiter) => waiter.resolve(value));
        return;
      } catch (error) {
        lastFailure = error;
        if (!stopping.signal.aborted) onFailure(error);
        if (!isWorthWaiting(error)) settle((waiter) => waiter.reject(error));
      }
      isResting = true;
      await wait(delayMs(failures, lastFailure), stopping.signal).catch(() => undefined);
      isResting = false;
    }
    isRunning = false;
    settle((waiter) => waiter.reject(stopped()));
  }

  function settle(tell: (waiter: Waiter<Value>) => void): void {
    const told = [...waiters];
    waiters.clear();
    for (const waiter of told) tell(waiter);
  }

  function start(): void {
    if (isRunning || stopping.signal.aborted) return;
    isRunning = true;
    lastFailure = undefined;
    void run();
  }

  return {
    start,
    stop: () => stopping.abort(),
    async value(signal) {
      start();
      if (stopping.signal.aborted) throw stopped();
      const { promise, resolve, reject } = Promise.withResolvers<Value>();
      const waiter = { resolve, reject };
      const giveUp = (): void => reject(lastFailure ?? tooLate());
      const isHopeless = isResting && !isWorthWaiting(lastFailure);
      if (isHopeless || signal.aborted) giveUp();
      waiters.add(waiter);
      signal.addEventListener("abort", giveUp, { once: true });
      try {
        return await promise;
      } finally {
        waiters.delete(waiter);
        signal.removeEventListener("abort", giveUp);
      }
    },
  };
}

/** Exponential with half of it at random, so that machines that failed together do not come back together. */
export function backoffMs(failures: number): number {
  const fullMs = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** failures);
  return fullMs * (0.5 + Math.random() / 2);
}

function tooLate(): PolarisError {
  return new PolarisError("KEY_UNAVAILABLE", "the key service has not answered in time");
}

function stopped(): PolarisError {
  return new PolarisError("KEY_UNAVAILABLE", "the key is gone: the proxy is closing");
}
