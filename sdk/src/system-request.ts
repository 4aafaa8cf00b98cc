import { isPolarisError, PolarisError } from "./errors.ts";
import { ERROR_HEADER, SYSTEM_PATH_PREFIX } from "./headers.ts";

export interface SystemRequestOptions {
  readonly fetch?: typeof globalThis.fetch;
  readonly signal?: AbortSignal;
}

/** Where the proxy is mounted: origin and path of an endpoint, without a slash at the end, query and fragment. */
export function mountUrl(endpoint: string | URL): string {
  const { origin, pathname } = new URL(endpoint);
  return origin + pathname.replace(/\/$/, "");
}

/**
 * Reads one of the proxy's own JSON documents.
 *
 * @param path  below the system prefix, with its query
 * @throws {PolarisError} ATTESTATION_UNAVAILABLE if the proxy says so, EVIDENCE_MALFORMED if the answer is not JSON,
 *   ENDPOINT_UNREACHABLE for everything else; the signal's reason if it was aborted, but not by a timeout
 */
export async function readSystemJson(
  endpoint: string | URL,
  path: string,
  { fetch = globalThis.fetch, signal }: SystemRequestOptions,
): Promise<unknown> {
  const url = new URL(mountUrl(endpoint) + SYSTEM_PATH_PREFIX + path);
  try {
    const response = await fetch(url, {
      // A redirect would let the endpoint name another one; ambient cookies are nobody's business here.
      redirect: "error",
      credentials: "omit",
      cache: "no-store",
      ...(signal === undefined ? {} : { signal }),
    });
    if (!response.ok) {
      await response.body?.cancel();
      throw refused(url, response);
    }
    return JSON.parse(await response.text());
  } catch (cause) {
    // An abort is the caller's own wish; a deadline that passed is an endpoint that does not answer.
    const aborted = signal?.aborted === true && (cause as { name?: string }).name !== "TimeoutError";
    if (aborted || isPolarisError(cause)) throw cause;
    if (cause instanceof SyntaxError) {
      throw new PolarisError("EVIDENCE_MALFORMED", `${url.pathname} of ${url.origin} is not JSON`, { cause });
    }
    throw new PolarisError("ENDPOINT_UNREACHABLE", `cannot reach ${url.origin}`, { cause });
  }
}

function refused(url: URL, response: Response): PolarisError {
  const claimedCode = response.headers.get(ERROR_HEADER);
  const unavailable = claimedCode === "ATTESTATION_UNAVAILABLE";
  return new PolarisError(
    unavailable ? "ATTESTATION_UNAVAILABLE" : "ENDPOINT_UNREACHABLE",
    `${url.origin} answered ${url.pathname} with status ${response.status}`,
    { details: { status: response.status } },
  );
}
