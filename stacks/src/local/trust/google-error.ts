import type { ServiceResponse } from "./service.ts";

/** google.rpc.Code names that these services answer with, and their HTTP statuses. */
const HTTP_STATUS = {
  INVALID_ARGUMENT: 400,
  FAILED_PRECONDITION: 400,
  UNAUTHENTICATED: 401,
  PERMISSION_DENIED: 403,
  NOT_FOUND: 404,
  INTERNAL: 500,
  UNAVAILABLE: 503,
} as const;

export type GoogleStatus = keyof typeof HTTP_STATUS;

/** Error codes of the token endpoint (RFC 6749 section 5.2, RFC 8693 section 2.2.2). */
export type OAuthErrorCode =
  | "invalid_request"
  | "invalid_grant"
  | "invalid_scope"
  | "invalid_target"
  | "unauthorized_client"
  | "unsupported_grant_type";

/**
 * An answer that says no, in the cloud's own words. `reason` is for the log: a fixed text of ours without anything that
 * the caller sent.
 */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly response: ServiceResponse;
  readonly outcome: GoogleStatus | OAuthErrorCode;
  readonly reason: string;

  constructor(response: ServiceResponse, outcome: GoogleStatus | OAuthErrorCode, reason: string) {
    super(reason);
    this.response = response;
    this.outcome = outcome;
    this.reason = reason;
  }
}

/** google.rpc.Status in JSON: what every Google API answers on failure (AIP-193). */
export function googleError(
  status: GoogleStatus,
  message: string,
  options: { readonly reason?: string; readonly details?: readonly Readonly<Record<string, unknown>>[] } = {},
): Refusal {
  const code = HTTP_STATUS[status];
  const error = {
    code,
    message,
    status,
    ...(options.details === undefined ? {} : { details: options.details }),
  };
  const headers: Record<string, string> =
    status === "UNAUTHENTICATED" ? { "www-authenticate": 'Bearer realm="https://accounts.google.com/"' } : {};
  return new Refusal({ status: code, headers, body: { error } }, status, options.reason ?? status);
}

/** The token endpoint's shape: always HTTP 400, also for `unauthorized_client`. */
export function oauthError(code: OAuthErrorCode, description: string, reason: string): Refusal {
  return new Refusal({ status: 400, body: { error: code, error_description: description } }, code, reason);
}

/** google.rpc.ErrorInfo. */
export function errorInfo(
  reason: string,
  domain: string,
  metadata: Readonly<Record<string, string>>,
): Readonly<Record<string, unknown>> {
  return { "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason, domain, metadata };
}
