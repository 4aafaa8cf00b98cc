import { isPolarisError } from "@polaris-cvm/sdk/errors";
import type { GoogleFederatedKeySettings } from "../environment.ts";
import { backoffMs, createAttempts, waitRealTime } from "./attempts.ts";
import type { Wait } from "./attempts.ts";
import { asymmetricDecrypt, getPublicKey } from "./cloud-kms.ts";
import { exchangeAttestationToken } from "./google-credentials.ts";
import type { AccessToken } from "./google-credentials.ts";
import { envelopeOpenFailed } from "./key-provider.ts";
import type { KeyProvider, ProviderPublicKey } from "./key-provider.ts";
import { createServiceAgent, isWorthWaiting } from "./service-request.ts";

/** Tries for one unwrapping, for answers that got damaged or lost on the way. */
const UNWRAP_TRIES = 4;

export interface GoogleFederatedOptions {
  /** Told of every failed attempt to get at the key. */
  readonly onFailure: (error: unknown) => void;
  readonly nowMs?: () => number;
  readonly wait?: Wait;
}

/** The right to use the key, and what the key is. */
interface Access {
  readonly token: AccessToken;
  readonly publicKey: ProviderPublicKey;
}

/**
 * A key in Cloud KMS that only this attested machine may use: attestation token → access token → asymmetricDecrypt.
 * It begins to get at the key at once and in the background, and never stops trying.
 */
export function createGoogleFederatedKeyProvider(
  settings: GoogleFederatedKeySettings,
  { onFailure, nowMs = Date.now, wait = waitRealTime }: GoogleFederatedOptions,
): KeyProvider {
  const agent = createServiceAgent();
  let token: AccessToken | undefined;
  let publicKey: ProviderPublicKey | undefined;

  const attempts = createAttempts<Access>(
    async (signal) => {
      const isFresh = token !== undefined && nowMs() < token.renewAtMs;
      const usable =
        isFresh && token ? token : await exchangeAttestationToken(settings, agent, nowMs, signal);
      token = usable;
      publicKey ??= await withToken(usable, (value) => getPublicKey(settings, agent, value, signal));
      return { token: usable, publicKey };
    },
    { isWorthWaiting, onFailure, wait },
  );
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

  async function unwrapOnce(wrapped: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const { token: used, publicKey: key } = await access(signal);
    if (wrapped.length !== key.modulusBytes) throw envelopeOpenFailed();
    return await withToken(used, (value) => asymmetricDecrypt(settings, agent, value, wrapped, signal));
  }

  return {
    kind: "google-federated",
    publicKey: async (signal) => publicKey ?? (await attempts.value(signal)).publicKey,
    async unwrap(wrapped, signal) {
      let hasRenewed = false;
      for (let tries = 1; ; tries++) {
        try {
          return await unwrapOnce(wrapped, signal);
        } catch (error) {
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
    },
    close() {
      attempts.stop();
      void agent.destroy();
    },
  };
}

/** 401: the token is not known or has been revoked. */
function isRejectedToken(error: unknown): boolean {
  return isPolarisError(error) && error.details?.["status"] === 401;
}
