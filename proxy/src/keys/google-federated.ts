import { isPolarisError } from "@polaris-cvm/sdk/errors";
import type { GoogleFederatedKeySettings } from "../environment.ts";
import { backoffMs, createAttempts, waitRealTime } from "./attempts.ts";
import type { Wait } from "./attempts.ts";
import { asymmetricDecrypt, getPublicKey, isVersionUnusable, kmsKeyVersion } from "./cloud-kms.ts";
import type { KmsKeyVersion } from "./cloud-kms.ts";
import { exchangeAttestationToken } from "./google-credentials.ts";
import type { AccessToken } from "./google-credentials.ts";
import { envelopeOpenFailed, keyUnknown } from "./key-provider.ts";
import type { KeyProvider, ProviderPublicKey } from "./key-provider.ts";
import { createOlderKeyVersion } from "./older-key-version.ts";
import { createOperationQueue } from "./operation-queue.ts";
import { createServiceAgent, isWorthWaiting } from "./service-request.ts";

/** Tries for one unwrapping, for answers that got damaged or lost on the way. */
const UNWRAP_TRIES = 4;

/** Calls to the key service at a time, each on a connection of its own. More would only wait there. */
const PARALLEL_CALLS = 32;

export interface GoogleFederatedOptions {
  /** Told of every failed attempt to get at the key. */
  readonly onFailure: (error: unknown) => void;
  /** Calls that may wait while as many as we make at a time are under way. */
  readonly maxQueuedUnwraps: number;
  readonly nowMs?: () => number;
  readonly wait?: Wait;
}

/** The right to use the key, and what the key is. */
interface Access {
  readonly token: AccessToken;
  readonly publicKey: ProviderPublicKey;
}

/** A version that may have been sealed to. */
interface CandidateVersion {
  readonly kms: KmsKeyVersion;
  known(): ProviderPublicKey | undefined;
  publicKey(signal: AbortSignal): Promise<ProviderPublicKey | undefined>;
  /** Absent for the version that clients are told to seal to: that one must be usable. */
  lost?(): void;
}

/**
 * A key in Cloud KMS that only this attested machine may use: attestation token → access token → asymmetricDecrypt.
 * It begins to get at the key at once and in the background, and never stops trying.
 */
export function createGoogleFederatedKeyProvider(
  settings: GoogleFederatedKeySettings,
  { onFailure, maxQueuedUnwraps, nowMs = Date.now, wait = waitRealTime }: GoogleFederatedOptions,
): KeyProvider {
  const agent = createServiceAgent(settings.localServicesSocket);
  const calls = createOperationQueue([...Array(PARALLEL_CALLS).keys()], maxQueuedUnwraps);
  let token: AccessToken | undefined;
  let publicKey: ProviderPublicKey | undefined;

  const primaryKms = kmsKeyVersion(settings, settings.keyVersion);
  const attempts = createAttempts<Access>(
    async (signal) => {
      const isFresh = token !== undefined && nowMs() < token.renewAtMs;
      const usable =
        isFresh && token ? token : await exchangeAttestationToken(settings, agent, nowMs, signal);
      token = usable;
      publicKey ??= await withToken(usable, (value) => getPublicKey(primaryKms, agent, value, signal));
      for (const version of older) version.start();
      return { token: usable, publicKey };
    },
    { isWorthWaiting, onFailure, wait },
  );

  const primary = {
    kms: primaryKms,
    known: () => publicKey,
    publicKey: async (signal: AbortSignal) => publicKey ?? (await attempts.value(signal)).publicKey,
  };
  /** The newest first: it is the one that most of the old messages are sealed to. */
  const older = settings.olderKeyVersions
    .toSorted((a, b) => b - a)
    .map((number) => {
      const kms = kmsKeyVersion(settings, number);
      const fetch = async (signal: AbortSignal): Promise<ProviderPublicKey> => {
        const { token: used } = await access(signal);
        return await withToken(used, (value) => getPublicKey(kms, agent, value, signal));
      };
      return { kms, ...createOlderKeyVersion(fetch, { onFailure, wait }) };
    });
  const versions: readonly CandidateVersion[] = [primary, ...older];
  attempts.start();

  /** What we have if it is good for now, renewed in the background when it is getting old. */
  async function access(signal: AbortSignal): Promise<Access> {
    if (token === undefined || publicKey === undefined || nowMs() >= token.expiresAtMs) {
      return await attempts.value(signal);
    }
    if (nowMs() >= token.renewAtMs) attempts.start();
    return { token, publicKey };
  }

  /** Forgets a token that the key service does not know any more, so that the next access gets another one. */
  async function withToken<T>(used: AccessToken, call: (value: string) => Promise<T>): Promise<T> {
    try {
      return await call(used.value);
    } catch (error) {
      if (isRejectedToken(error) && token === used) token = undefined;
      throw error;
    }
  }

  async function unwrapOnce(
    kms: KmsKeyVersion,
    wrapped: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const { token: used } = await access(signal);
    const decrypt = (value: string): Promise<Uint8Array> =>
      asymmetricDecrypt(kms, agent, value, wrapped, signal);
    return await calls.run(() => withToken(used, decrypt), signal);
  }

  /** @throws {PolarisError} KEY_UNKNOWN for an older version that cannot be used */
  async function unwrapWith(
    version: CandidateVersion,
    wrapped: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const key = await version.publicKey(signal);
    if (key === undefined) throw keyUnknown();
    if (wrapped.length !== key.modulusBytes) throw envelopeOpenFailed();
    let hasRenewed = false;
    for (let tries = 1; ; tries++) {
      try {
        return await unwrapOnce(version.kms, wrapped, signal);
      } catch (error) {
        if (version.lost !== undefined && isVersionUnusable(error)) {
          version.lost();
          throw keyUnknown();
        }
        if (signal.aborted || tries >= UNWRAP_TRIES) throw error;
        if (isRejectedToken(error) && !hasRenewed) {
          hasRenewed = true;
        } else if (isPolarisError(error) && error.code === "KEY_UNAVAILABLE") {
          await wait(backoffMs(tries - 1), signal).catch(() => undefined);
        } else {
          throw error;
        }
      }
    }
  }

  /** Asks a version for its public key only if none of those that are known is the one. */
  async function findVersion(keyId: string, signal: AbortSignal): Promise<CandidateVersion | undefined> {
    const known = versions.find((version) => version.known()?.keyId === keyId);
    if (known !== undefined) return known;
    for (const version of versions) if ((await version.publicKey(signal))?.keyId === keyId) return version;
    return undefined;
  }

  return {
    kind: "google-federated",
    publicKey: (signal) => primary.publicKey(signal),
    async unwrap(wrapped, keyId, signal) {
      if (keyId !== undefined) {
        const version = await findVersion(keyId, signal);
        if (version === undefined) throw keyUnknown();
        return await unwrapWith(version, wrapped, signal);
      }
      for (const version of versions) {
        try {
          return await unwrapWith(version, wrapped, signal);
        } catch (error) {
          if (!isNotForThisVersion(error)) throw error;
        }
      }
      throw envelopeOpenFailed();
    },
    privateOperations: () => calls.counts(),
    close() {
      attempts.stop();
      for (const version of older) version.stop();
      void agent.destroy();
    },
  };
}

/** 401: the token is not known or has been revoked. */
function isRejectedToken(error: unknown): boolean {
  return isPolarisError(error) && error.details?.["status"] === 401;
}

function isNotForThisVersion(error: unknown): boolean {
  return isPolarisError(error) && (error.code === "ENVELOPE_OPEN_FAILED" || error.code === "KEY_UNKNOWN");
}
