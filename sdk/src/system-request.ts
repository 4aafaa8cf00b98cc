import { endpointUnreachable, mountUrl, parseEndpoint } from "./endpoint.ts";
import { type ErrorCode, isPolarisError, PolarisError } from "./errors.ts";
import { ERROR_HEADER, SYSTEM_PATH_PREFIX } from "./headers.ts";
import { orAbort } from "./single-flight.ts";

export interface SystemRequestOptions {
  readonly fetch?: typeof globalThis.fetch;
  readonly signal?: AbortSignal;
  /** Longest wait for the whole answer, in milliseconds. Default: 30 000. */
  readonly timeoutMs?: number;
}

/** One of the proxy's own documents. */
export interface SystemDocument {
  /** As messages call it, with its article. */
  readonly name: string;
  /** Below the system prefix, with its query. */
  readonly path: string;
  /** For an endpoint that says itself that it has none now. */
  readonly unavailableCode: ErrorCode;
}

const DEFAULT_TIMEOUT_MS = 30_000;

/** Far above any document, and nothing that fills a memory. */
const MAX_BODY_BYTES = 1024 * 1024;

/** What a proxy says of itself as long as it has no key or no evidence. */
const UNAVAILABLE_CODES = ["ATTESTATION_UNAVAILABLE", "KEY_UNAVAILABLE", "KEY_RELEASE_DENIED"];

/**
 * Reads one of the proxy's own JSON documents.
 *
 * @throws {PolarisError} USAGE_INVALID for a URL that is not an endpoint's, the document's `unavailableCode` if the proxy
 *   says so, EVIDENCE_MALFORMED for every other answer that is not JSON, TIMEOUT, ENDPOINT_UNREACHABLE if nobody answers
 * @throws the signal's reason once it is aborted
 */
export async function readSystemJson(
  endpoint: string | URL,
  document: SystemDocument,
  { fetch = globalThis.fetch, signal, timeoutMs = DEFAULT_TIMEOUT_MS }: SystemRequestOptions,
): Promise<unknown> {
  const url = new URL(mountUrl(parseEndpoint(endpoint)) + SYSTEM_PATH_PREFIX + document.path);
  signal?.throwIfAborted();
  const end = new AbortController();
  const giveUp = (): void => end.abort(signal?.reason);
  signal?.addEventListener("abort", giveUp, { once: true });
  const timer = setTimeout(() => {
    end.abort(new PolarisError("TIMEOUT", `${url.origin} has not answered within ${timeoutMs} ms`));
  }, timeoutMs);
  try {
    return await orAbort(end.signal, readAnswer(fetch, url, document, end.signal));
  } catch (cause) {
    if (end.signal.aborted) throw end.signal.reason;
    throw isPolarisError(cause) ? cause : endpointUnreachable(url, cause);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", giveUp);
  }
}

async function readAnswer(
  fetch: typeof globalThis.fetch,
  url: URL,
  document: SystemDocument,
  signal: AbortSignal,
): Promise<unknown> {
  const response = await fetch(url, {
    // A redirect would let the endpoint name another one; ambient cookies are nobody's business here.
    redirect: "manual",
    credentials: "omit",
    cache: "no-store",
    signal,
  });
  if (!response.ok) {
    await response.body?.cancel();
    throw refused(url, document, response);
  }
  const body = await readBody(response);
  try {
    if (body !== undefined) return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (cause) {
    throw malformed(url, document, response, " and no JSON", cause);
  }
  throw malformed(url, document, response, ` and more than ${MAX_BODY_BYTES} bytes`);
}

/** The body, or `undefined` if it goes on behind the limit: then the rest is not read. */
async function readBody({ body }: Response): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const bytes = new Uint8Array(MAX_BODY_BYTES);
  let byteCount = 0;
  const reader = body?.getReader();
  for (let next = await reader?.read(); next?.value !== undefined; next = await reader?.read()) {
    if (byteCount + next.value.length > MAX_BODY_BYTES) {
      await reader?.cancel();
      return undefined;
    }
    bytes.set(next.value, byteCount);
    byteCount += next.value.length;
  }
  return bytes.subarray(0, byteCount);
}

function refused(url: URL, document: SystemDocument, response: Response): PolarisError {
  const claimedCode = response.headers.get(ERROR_HEADER) ?? "";
  if (!UNAVAILABLE_CODES.includes(claimedCode)) return malformed(url, document, response);
  return new PolarisError(
    document.unavailableCode,
    `${url.origin} cannot give ${document.name} now: status ${response.status}, ${claimedCode}`,
    { details: { status: response.status } },
  );
}

/** Of an answer that may be anybody's, a message repeats the status and nothing else. */
function malformed(
  { origin }: URL,
  { name }: SystemDocument,
  { status, type }: Response,
  whatElse = "",
  cause?: unknown,
): PolarisError {
  const answer = type === "opaqueredirect" ? "a redirect" : `status ${status}`;
  return new PolarisError(
    "EVIDENCE_MALFORMED",
    `${origin} answered with ${answer}${whatElse} instead of ${name}`,
    {
      hint: "check that the URL is that of a Polaris endpoint",
      details: { status },
      cause,
    },
  );
}
