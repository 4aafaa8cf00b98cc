import { compactVerify, createLocalJWKSet, errors, type JSONWebKeySet } from "jose";
import type { Check } from "./check.ts";
import { PolarisError } from "./errors.ts";

export type { JSONWebKeySet } from "jose";

/** How far the clocks of verifier and issuer may differ. */
export const CLOCK_TOLERANCE_SECONDS = 60;

/** The claims of a Google attestation token of a plain confidential VM, as far as Polaris reads them. */
export interface AttestationClaims {
  readonly issuer: string;
  readonly audience: string;
  readonly subject: string;
  /** `eat_nonce`: the token carries a text for one nonce, a list for several; here always a list. */
  readonly nonces: readonly string[];
  readonly notBeforeUnixSeconds: number;
  readonly expiresAtUnixSeconds: number;
  readonly hwmodel: string;
  readonly swname: string;
  readonly secureBoot: boolean;
  readonly debugStatus: string;
  readonly zone: string;
  readonly projectId: string;
  readonly projectNumber: string;
  readonly instanceName: string;
  readonly instanceId: string;
  readonly serviceAccounts: readonly string[];
}

/** Who must have issued a token, for whom and when. */
export interface TokenPolicy {
  readonly issuer: string;
  readonly audience: string;
  readonly nowUnixSeconds: number;
}

/**
 * Verifies a token and validates who issued it, for whom and when.
 *
 * @param unverifiedToken  a compact JWS; RS256 is the only algorithm
 * @throws {PolarisError} TOKEN_INVALID with `details.reason`: `signature`, `issuer`, `audience`, `time` or `malformed`
 */
export async function verifyAttestationToken(
  unverifiedToken: string,
  { jwks, ...policy }: TokenPolicy & { readonly jwks: JSONWebKeySet },
): Promise<AttestationClaims> {
  const claims = await verifyTokenSignature(unverifiedToken, jwks);
  const failed = validateTokenUse(claims, policy).find((check) => !check.ok);
  if (failed !== undefined) {
    const reason = failed.id === "token-time" ? "time" : failed.id;
    throw invalid(reason, `${failed.id} is ${failed.actual}, expected ${failed.expected}`);
  }
  return claims;
}

/**
 * Verifies only that the token's claims were signed by a key of the set.
 *
 * @throws {PolarisError} TOKEN_INVALID with `details.reason`: `signature` or `malformed`
 */
export async function verifyTokenSignature(
  unverifiedToken: string,
  jwks: JSONWebKeySet,
): Promise<AttestationClaims> {
  const payload = await compactVerify(unverifiedToken, createLocalJWKSet(jwks), {
    algorithms: ["RS256"],
  }).then(
    (verified) => verified.payload,
    (cause: unknown) => {
      if (cause instanceof errors.JWSInvalid) throw invalid("malformed", "not a compact JWS", cause);
      throw invalid("signature", "no key of the issuer verifies it", cause);
    },
  );
  return parseClaims(payload);
}

/** The checks `token-time`, `issuer` and `audience`; pure. */
export function validateTokenUse(claims: AttestationClaims, policy: TokenPolicy): Check[] {
  const { notBeforeUnixSeconds, expiresAtUnixSeconds } = claims;
  const now = policy.nowUnixSeconds;
  return [
    {
      id: "token-time",
      ok:
        now >= notBeforeUnixSeconds - CLOCK_TOLERANCE_SECONDS &&
        now < expiresAtUnixSeconds + CLOCK_TOLERANCE_SECONDS,
      expected: `valid at ${formatTime(now)}`,
      actual: `valid from ${formatTime(notBeforeUnixSeconds)} to ${formatTime(expiresAtUnixSeconds)}`,
    },
    {
      id: "issuer",
      ok: claims.issuer === policy.issuer,
      expected: policy.issuer,
      actual: claims.issuer,
    },
    {
      id: "audience",
      ok: claims.audience === policy.audience,
      expected: policy.audience,
      actual: claims.audience,
    },
  ];
}

function parseClaims(payload: Uint8Array): AttestationClaims {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
  } catch (cause) {
    throw invalid("malformed", "claims are not JSON", cause);
  }
  const claims = readRecord(json, "claims");
  const gce = readRecord(readRecord(claims["submods"], "submods")["gce"], "submods.gce");
  const nonces = claims["eat_nonce"];
  return {
    issuer: readText(claims, "iss"),
    // A list of audiences is refused: such a token would also be good somewhere else.
    audience: readText(claims, "aud"),
    subject: readText(claims, "sub"),
    nonces: readTexts(typeof nonces === "string" ? [nonces] : nonces, "eat_nonce"),
    notBeforeUnixSeconds: readSeconds(claims, "nbf"),
    expiresAtUnixSeconds: readSeconds(claims, "exp"),
    hwmodel: readText(claims, "hwmodel"),
    swname: readText(claims, "swname"),
    secureBoot: readFlag(claims, "secboot"),
    debugStatus: readText(claims, "dbgstat"),
    zone: readText(gce, "zone"),
    projectId: readText(gce, "project_id"),
    projectNumber: readText(gce, "project_number"),
    instanceName: readText(gce, "instance_name"),
    instanceId: readText(gce, "instance_id"),
    serviceAccounts: readTexts(claims["google_service_accounts"], "google_service_accounts"),
  };
}

function readRecord(value: unknown, name: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw invalid("malformed", `${name} is not an object`);
}

function readText(claims: Record<string, unknown>, name: string): string {
  const value = claims[name];
  if (typeof value === "string") return value;
  throw invalid("malformed", `${name} is not a text`);
}

function readTexts(value: unknown, name: string): string[] {
  if (Array.isArray(value) && value.every((entry) => typeof entry === "string")) return value;
  throw invalid("malformed", `${name} is not a list of texts`);
}

function readFlag(claims: Record<string, unknown>, name: string): boolean {
  const value = claims[name];
  if (typeof value === "boolean") return value;
  throw invalid("malformed", `${name} is not true or false`);
}

function readSeconds(claims: Record<string, unknown>, name: string): number {
  const value = claims[name];
  // Up to the year 9999, which a Date can still show.
  if (typeof value === "number" && value >= 0 && value < 253_402_300_800) return value;
  throw invalid("malformed", `${name} is not a time in seconds`);
}

function formatTime(unixSeconds: number): string {
  return new Date(unixSeconds * 1000).toISOString();
}

function invalid(reason: string, problem: string, cause?: unknown): PolarisError {
  return new PolarisError("TOKEN_INVALID", `attestation token: ${problem}`, { details: { reason }, cause });
}
