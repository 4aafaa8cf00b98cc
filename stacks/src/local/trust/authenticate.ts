import { createHash } from "node:crypto";
import type { AccessTokens } from "./access-token.ts";
import { errorInfo, googleError } from "./google-error.ts";
import type { Caller } from "./iam-roles.ts";
import { bearerCredential, type ServiceRequest } from "./service.ts";

/** The API method that is called, by its names in Google's error details. */
export interface ApiMethod {
  readonly service: string;
  readonly method: string;
}

/** Finds out who calls. Throws a {@link Refusal} UNAUTHENTICATED, HTTP 401. */
export type Authenticate = (request: ServiceRequest, method: ApiMethod) => Caller;

const EXPECTED =
  "Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.";

/**
 * Accepts access tokens of the token exchange, and credentials that {@link findAdministrator} knows by their SHA-256
 * (lowercase hex).
 */
export function createAuthenticate(options: {
  readonly accessTokens: AccessTokens;
  readonly findAdministrator: (credentialSha256: string) => Caller | undefined;
}): Authenticate {
  return (request, method) => {
    const credential = bearerCredential(request);
    if (credential === undefined) {
      throw unauthenticated("missing required authentication credential", "CREDENTIALS_MISSING", method);
    }
    const administrator = options.findAdministrator(sha256Hex(credential));
    if (administrator !== undefined) return administrator;
    const verdict = options.accessTokens.verify(credential);
    if (verdict.valid) return verdict.caller;
    const reason = verdict.reason === "expired" ? "ACCESS_TOKEN_EXPIRED" : "ACCESS_TOKEN_TYPE_UNSUPPORTED";
    throw unauthenticated("invalid authentication credentials", reason, method);
  };
}

export function sha256Hex(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function unauthenticated(what: string, reason: string, method: ApiMethod): Error {
  const verb = reason === "CREDENTIALS_MISSING" ? "is" : "had";
  return googleError("UNAUTHENTICATED", `Request ${verb} ${what}. ${EXPECTED}`, {
    reason,
    details: [errorInfo(reason, "googleapis.com", { ...method })],
  });
}
