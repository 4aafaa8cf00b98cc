import { createHmac, timingSafeEqual } from "node:crypto";
import * as z from "zod";
import type { Caller } from "./iam-roles.ts";

/** Whom an access token speaks for. */
export interface TokenSubject {
  readonly principal: string;
  /** Member names of policies, the principal included. */
  readonly memberships: readonly string[];
  /** Full name of the workload identity pool; absent for service accounts. */
  readonly pool?: string;
}

export type TokenVerdict =
  | { readonly valid: true; readonly caller: Caller }
  | { readonly valid: false; readonly reason: "expired" | "invalid" };

/** Access tokens: opaque for their bearers, signed so that a restart does not void them. */
export interface AccessTokens {
  issue(subject: TokenSubject, lifetimeSeconds: number): string;
  verify(token: string): TokenVerdict;
}

const PREFIX = "polaris-access";
const payloadSchema = z.strictObject({
  principal: z.string(),
  memberships: z.array(z.string()),
  pool: z.string().optional(),
  expiresAtUnixSeconds: z.number().int(),
});

/**
 * @param options.secret at least 32 random bytes, kept across restarts
 * @param options.isPoolUsable false voids the pool's tokens, as disabling or deleting a pool does at Google (disabling a
 *   provider does not)
 */
export function createAccessTokens(options: {
  readonly secret: Uint8Array;
  readonly now: () => number;
  readonly isPoolUsable: (pool: string) => boolean;
}): AccessTokens {
  const sign = (payload: string): string =>
    createHmac("sha256", options.secret).update(`${PREFIX}.${payload}`).digest("base64url");
  return {
    issue(subject, lifetimeSeconds) {
      const claims = { ...subject, expiresAtUnixSeconds: Math.floor(options.now() / 1000) + lifetimeSeconds };
      const payload = Buffer.from(JSON.stringify(claims)).toString("base64url");
      return `${PREFIX}.${payload}.${sign(payload)}`;
    },
    verify(token) {
      const [prefix, payload, signature, ...rest] = token.split(".");
      if (prefix !== PREFIX || payload === undefined || signature === undefined || rest.length > 0)
        return INVALID;
      // The encoded text is compared, not the decoded bytes: base64 has several spellings of the same bytes.
      if (!sameText(signature, sign(payload))) return INVALID;
      const claims = payloadSchema.parse(JSON.parse(Buffer.from(payload, "base64url").toString("utf8")));
      if (claims.expiresAtUnixSeconds <= options.now() / 1000) return { valid: false, reason: "expired" };
      if (claims.pool !== undefined && !options.isPoolUsable(claims.pool)) return INVALID;
      return {
        valid: true,
        caller: { principal: claims.principal, memberships: claims.memberships, projectRoles: [] },
      };
    },
  };
}

const INVALID: TokenVerdict = { valid: false, reason: "invalid" };

function sameText(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
