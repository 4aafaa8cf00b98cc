import type { ConnectionKey, TlsExpectation } from "./connection-key.ts";
import { PolarisError } from "./errors.ts";

/**
 * A `fetch` for one TLS key: the one that its first connection showed. It looks at the key of every connection before the
 * first byte of a request, and rejects with TLS_KEY_MISMATCH, having sent nothing, where that is another one. Whose key
 * it is, is for the caller to verify.
 */
export interface PinnedFetch {
  (input: string | URL | Request, init?: RequestInit): Promise<Response>;
  /** `sha256:<64 lowercase hex>` of the key's SPKI; `undefined` before the first connection. */
  readonly tlsPublicKeySha256: () => string | undefined;
}

/**
 * A {@link PinnedFetch} over a connection pool of its own. It trusts no authority and checks no name: the key is all that
 * counts. Redirects are not followed.
 *
 * @throws {PolarisError} EXPECTATIONS_MISSING where the platform does not show programs the key of a connection: in browsers
 */
export async function createPinnedFetch(): Promise<PinnedFetch> {
  // The package's `imports` choose: Node's part stays out of bundles for browsers, and is loaded where it is used.
  const { createPinnedTransport } = await import("#pinned-transport");
  return createPinnedTransport();
}

/**
 * The `fetch` for an endpoint: where its TLS key is to be attested, one that tells and pins it.
 *
 * @param given  the caller's own
 * @throws {PolarisError} EXPECTATIONS_MISSING if the key is to be attested and `given` does not tell it
 */
export async function chooseFetch(
  { protocol, origin }: URL,
  tls: TlsExpectation,
  given: typeof globalThis.fetch | undefined,
): Promise<typeof globalThis.fetch> {
  if (tls === "unbound" || protocol !== "https:") return given ?? globalThis.fetch;
  if (given === undefined) return await createPinnedFetch();
  if (isPinned(given)) return given;
  throw new PolarisError(
    "EXPECTATIONS_MISSING",
    `the TLS key of ${origin} has to be the attested one, and the fetch that was given does not tell which it is`,
    { hint: "leave fetch out, or give one of createPinnedFetch()" },
  );
}

/** The key behind what a fetch of {@link chooseFetch} has got from an endpoint. */
export function readConnectionKey({ protocol }: URL, fetch: typeof globalThis.fetch): ConnectionKey {
  if (protocol !== "https:") return { unknown: "the endpoint is http" };
  const sha256 = isPinned(fetch) ? fetch.tlsPublicKeySha256() : undefined;
  return sha256 === undefined ? { unknown: "fetch did not tell it" } : { sha256 };
}

function isPinned(fetch: typeof globalThis.fetch): fetch is typeof globalThis.fetch & PinnedFetch {
  return "tlsPublicKeySha256" in fetch && typeof fetch.tlsPublicKeySha256 === "function";
}
