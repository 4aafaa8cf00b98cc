import { readFile } from "node:fs/promises";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { Dispatcher } from "undici";
import type { GoogleFederatedKeySettings } from "../environment.ts";
import { refusal, requestService } from "./service-request.ts";

/** What an access token may be used for; IAM decides the rest. */
const STS_SCOPE = "https://www.googleapis.com/auth/cloud-platform";
const KMS_SCOPE = "https://www.googleapis.com/auth/cloudkms";

const IMPERSONATED_LIFETIME = "3600s";

/** A token is renewed this long before its end, or in the last fifth of a shorter life. */
const RENEW_BEFORE_MS = 5 * 60_000;

export interface AccessToken {
  readonly value: string;
  readonly renewAtMs: number;
  readonly expiresAtMs: number;
}

/**
 * Exchanges the machine's attestation token for an access token (RFC 8693), and that for one of a service account if
 * one is set. The file is read anew each time: the token agent replaces it every few minutes.
 *
 * @throws {PolarisError} KEY_UNAVAILABLE or KEY_RELEASE_DENIED
 */
export async function exchangeAttestationToken(
  settings: GoogleFederatedKeySettings,
  agent: Dispatcher,
  nowMs: () => number,
  signal: AbortSignal,
): Promise<AccessToken> {
  const attestationToken = await readTokenFile(settings.tokenFile, nowMs());
  const answer = await requestService(
    agent,
    {
      service: "the token service",
      method: "POST",
      url: `${settings.stsUrl}/v1/token`,
      body: new URLSearchParams({
        grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
        audience: settings.audience,
        scope: STS_SCOPE,
        requested_token_type: "urn:ietf:params:oauth:token-type:access_token",
        subject_token: attestationToken,
        subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
      }),
    },
    signal,
  );
  if (answer.status !== 200) throw refusal("the token service", answer);

  const { access_token: value, expires_in: lifetimeSeconds } = answer.json;
  if (
    typeof value !== "string" ||
    value === "" ||
    typeof lifetimeSeconds !== "number" ||
    lifetimeSeconds <= 0
  ) {
    throw new PolarisError("KEY_UNAVAILABLE", "the token service answered without a token and its lifetime");
  }
  if (settings.serviceAccount !== undefined) {
    return await impersonate(settings, settings.serviceAccount, value, agent, nowMs, signal);
  }
  return toAccessToken(value, nowMs(), nowMs() + lifetimeSeconds * 1000);
}

async function impersonate(
  settings: GoogleFederatedKeySettings,
  serviceAccount: string,
  accessToken: string,
  agent: Dispatcher,
  nowMs: () => number,
  signal: AbortSignal,
): Promise<AccessToken> {
  const answer = await requestService(
    agent,
    {
      service: "the service account's token service",
      method: "POST",
      url: `${settings.iamCredentialsUrl}/v1/projects/-/serviceAccounts/${serviceAccount}:generateAccessToken`,
      accessToken,
      body: { scope: [KMS_SCOPE], lifetime: IMPERSONATED_LIFETIME },
    },
    signal,
  );
  if (answer.status !== 200) throw refusal("the service account's token service", answer);
  const { accessToken: value, expireTime } = answer.json;
  const expiresAtMs = typeof expireTime === "string" ? Date.parse(expireTime) : Number.NaN;
  if (typeof value !== "string" || value === "" || !(expiresAtMs > nowMs())) {
    throw new PolarisError(
      "KEY_UNAVAILABLE",
      "the service account's token service answered without a token and its end",
    );
  }
  return toAccessToken(value, nowMs(), expiresAtMs);
}

function toAccessToken(value: string, nowMs: number, expiresAtMs: number): AccessToken {
  return {
    value,
    expiresAtMs,
    renewAtMs: expiresAtMs - Math.min(RENEW_BEFORE_MS, (expiresAtMs - nowMs) / 5),
  };
}

/**
 * Reads the machine's token. Its writer may be late, or in the middle of writing: a file that is missing, empty, cut
 * off or old means "not yet". Nothing in the token is trusted here, the token service checks it.
 */
async function readTokenFile(path: string, nowMs: number): Promise<string> {
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    throw new PolarisError("KEY_UNAVAILABLE", `cannot read the attestation token at ${path}`, { cause });
  });
  const token = text.trim();
  const [, payload, signature] = /^[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/.exec(token) ?? [];
  if (payload === undefined || signature === undefined || !isWholeSignature(signature)) {
    throw new PolarisError("KEY_UNAVAILABLE", `there is no whole attestation token at ${path}`);
  }
  const claimedExpiry = readClaimedExpiry(payload);
  if (claimedExpiry !== undefined && claimedExpiry * 1000 <= nowMs) {
    throw new PolarisError("KEY_UNAVAILABLE", `the attestation token at ${path} has expired`);
  }
  return token;
}

/** The end of a token that is being written is missing; attestation tokens are RS256, with keys of 2048 to 4096 bits. */
function isWholeSignature(signature: string): boolean {
  return [256, 384, 512].includes(Buffer.from(signature, "base64url").length);
}

function readClaimedExpiry(payload: string): number | undefined {
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
    const expiry = typeof claims === "object" && claims !== null && "exp" in claims ? claims.exp : undefined;
    return typeof expiry === "number" ? expiry : undefined;
  } catch {
    return undefined;
  }
}
