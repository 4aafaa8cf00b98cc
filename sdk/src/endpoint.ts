import { PolarisError } from "./errors.ts";

/**
 * Reads the URL of an endpoint: http or https, without a user name and a password. Errors say nothing of the URL, for it
 * may hold a password.
 *
 * @throws {PolarisError} USAGE_INVALID
 */
export function parseEndpoint(url: string | URL): URL {
  if (!URL.canParse(url)) throw invalidEndpoint("is not a URL");
  const endpoint = new URL(url);
  if (endpoint.protocol !== "https:" && endpoint.protocol !== "http:") {
    throw invalidEndpoint("is neither http nor https");
  }
  if (endpoint.username !== "" || endpoint.password !== "") {
    throw invalidEndpoint("has a user name or a password in it");
  }
  return endpoint;
}

/** Where the proxy is mounted: origin and path of an endpoint, without a slash at the end, query and fragment. */
export function mountUrl({ origin, pathname }: URL): string {
  return origin + pathname.replace(/\/$/, "");
}

/** The error for an endpoint that nobody answers at: no connection, no such host, or one that broke off. */
export function endpointUnreachable({ origin }: URL, cause: unknown): PolarisError {
  const code = readCauseCode(cause);
  const reason = code === undefined ? "" : ` (${code})`;
  return new PolarisError("ENDPOINT_UNREACHABLE", `cannot reach ${origin}${reason}`, {
    hint: adviseOn(code ?? ""),
    cause,
  });
}

/** Codes like ECONNREFUSED are the system's words; Node has them below the TypeError that every fetch fails with. */
function readCauseCode(cause: unknown): string | undefined {
  const inner = cause instanceof Error ? cause.cause : undefined;
  const code = inner instanceof Error && "code" in inner ? String(inner.code) : "";
  return /^[A-Z][A-Z0-9_]+$/.test(code) ? code : undefined;
}

/** What to do, by the code: certificates have Node's names of OpenSSL's verify errors (nodejs.org/api/tls.html). */
function adviseOn(code: string): string {
  if (code === "CERT_HAS_EXPIRED" || code === "CERT_NOT_YET_VALID") {
    return "its certificate is not valid now: check the clock of this machine, then have the certificate renewed";
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return "its certificate is for another name: use that name in the URL, or get a certificate for this one";
  }
  if (code === "CERT_UNTRUSTED" || /^(?:UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_)/.test(code)) {
    return "no authority known here vouches for its certificate: name the file of its authority (PEM) in NODE_EXTRA_CA_CERTS and start again";
  }
  if (code.startsWith("CERT_")) return "its certificate is not accepted: look at it and at its authority's";
  return "check the URL, and that the endpoint runs and can be reached from here";
}

function invalidEndpoint(problem: string): PolarisError {
  return new PolarisError("USAGE_INVALID", `URL of the endpoint ${problem}`, {
    hint: "give it like https://host or http://host:port",
  });
}
