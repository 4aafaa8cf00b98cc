/** Wire names of protocol v1 (docs/envelope.md). The proxy can rename the three headers; these are the defaults. */
export const URL_HEADER = "polaris-url";
export const SECURE_HEADER = "polaris-secure";
export const RESPONSE_KEY_HEADER = "polaris-response-public-key";

/**
 * Names the key that a request is sealed to, by its fingerprint (`sha256:<64 lowercase hex>`). Optional: without it a proxy
 * tries its keys, the newest first.
 */
export const KEY_ID_HEADER = "polaris-key-id";

/** Carries the code of an error that the proxy itself answers with, beside a body of {@link PROBLEM_MEDIA_TYPE}. */
export const ERROR_HEADER = "polaris-error";
export const PROBLEM_MEDIA_TYPE = "application/problem+json";

/** Media type of a sealed request body: nothing of the body's own type is shown outside. */
export const SEALED_MEDIA_TYPE = "application/octet-stream";

/** Everything below this path is the proxy's own; all else belongs to the workload. */
export const SYSTEM_PATH_PREFIX = "/polaris-container/";

/**
 * Hop-by-hop header fields (RFC 9110 §7.6.1) plus the ones that older agents still send: they end at each hop and are
 * forwarded in neither direction, also not when they come out of a sealed header object.
 */
export const HOP_BY_HOP_HEADERS: ReadonlySet<string> = new Set([
  "connection",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
