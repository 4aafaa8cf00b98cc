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
  return new PolarisError("ENDPOINT_UNREACHABLE", `cannot reach ${origin}${describeCause(cause)}`, {
    hint: "check the URL, and that the endpoint runs and can be reached from here",
    cause,
  });
}

/** Codes like ECONNREFUSED are the system's words; Node has them below the TypeError that every fetch fails with. */
function describeCause(cause: unknown): string {
  const inner = cause instanceof Error ? cause.cause : undefined;
  const code = inner instanceof Error && "code" in inner ? String(inner.code) : "";
  return /^[A-Z][A-Z0-9_]+$/.test(code) ? ` (${code})` : "";
}

function invalidEndpoint(problem: string): PolarisError {
  return new PolarisError("USAGE_INVALID", `URL of the endpoint ${problem}`, {
    hint: "give it like https://host or http://host:port",
  });
}
