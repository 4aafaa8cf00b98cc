import { backoffMs, createAttempts } from "./attempts.ts";
import type { Wait } from "./attempts.ts";
import { isVersionUnusable } from "./cloud-kms.ts";
import type { ProviderPublicKey } from "./key-provider.ts";
import { isWorthWaiting } from "./service-request.ts";

/** Who disables a version may enable it again; nobody waits for that by the second, and each question costs money. */
const UNUSABLE_RECHECK_MS = 5 * 60_000;

/** A version that messages may still be sealed to. One that is disabled or destroyed is as good as none. */
export interface OlderKeyVersion {
  /** Begins to ask for the public key in the background, and goes on until there is one. */
  start(): void;
  /** What is known now. */
  known(): ProviderPublicKey | undefined;
  /**
   * `undefined` if the key service says that the version cannot be used. Rejects with KEY_UNAVAILABLE or
   * KEY_RELEASE_DENIED if it said nothing before `signal` aborted.
   */
  publicKey(signal: AbortSignal): Promise<ProviderPublicKey | undefined>;
  /** Forgets the public key, because the key service just refused to use the version. */
  lost(): void;
  stop(): void;
}

export interface OlderKeyVersionOptions {
  /** Told of every failed attempt; that a version cannot be used is said once, until it could be used again. */
  readonly onFailure: (error: unknown) => void;
  readonly wait: Wait;
}

/** @param fetch  asks for the public key, once */
export function createOlderKeyVersion(
  fetch: (signal: AbortSignal) => Promise<ProviderPublicKey>,
  { onFailure, wait }: OlderKeyVersionOptions,
): OlderKeyVersion {
  let key: ProviderPublicKey | undefined;
  let isSaid = false;

  const attempts = createAttempts<ProviderPublicKey>(
    async (signal) => {
      key = await fetch(signal);
      isSaid = false;
      return key;
    },
    {
      isWorthWaiting: (error) => !isVersionUnusable(error) && isWorthWaiting(error),
      onFailure(error) {
        const isUnusable = isVersionUnusable(error);
        if (!isUnusable || !isSaid) onFailure(error);
        isSaid ||= isUnusable;
      },
      delayMs: (failures, error) => (isVersionUnusable(error) ? UNUSABLE_RECHECK_MS : backoffMs(failures)),
      wait,
    },
  );

  return {
    start() {
      if (key === undefined) attempts.start();
    },
    known: () => key,
    async publicKey(signal) {
      if (key !== undefined) return key;
      try {
        return await attempts.value(signal);
      } catch (error) {
        if (isVersionUnusable(error)) return undefined;
        throw error;
      }
    },
    lost() {
      key = undefined;
      attempts.start();
    },
    stop: () => attempts.stop(),
  };
}
