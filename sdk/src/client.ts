import {
  DEFAULT_HEADER_NAMES,
  type HeaderNames,
  passRequest,
  type ReadRequest,
  readRequest,
  sealRequest,
  type WireRequest,
} from "./client-request.ts";
import { openResponse } from "./client-response.ts";
import { endpointUnreachable, mountUrl, parseEndpoint } from "./endpoint.ts";
import { isPolarisError, PolarisError } from "./errors.ts";
import { createEphemeralKeyHandler, type KeyHandler } from "./key-handler.ts";
import { chooseFetch } from "./pinned-fetch.ts";
import { fetchPublicKey, importPublicKey, type RecipientKey } from "./public-key.ts";
import { orAbort, singleFlight } from "./single-flight.ts";
import {
  type AttestationExpectations,
  failedChecks,
  type VerificationReport,
  verifyAttestation,
} from "./verify-attestation.ts";

/** `sealed`: as wire v1 seals it; anything else is refused. `clear`: as any HTTP client sends it. */
export type Protection = "sealed" | "clear";

/** Why the client may seal to a key: exactly one reason. */
export type ClientTrust =
  /** SPKI in PEM that the caller got from a source it trusts. */
  | { readonly publicKey: string }
  /** The endpoint's key, once its evidence has been verified: before the first request, with a fresh nonce. */
  | { readonly expect: AttestationExpectations }
  /** Any key that the endpoint names: whoever answers can read everything. */
  | { readonly insecureSkipVerification: true };

export type ClientOptions = ClientTrust & {
  /** The endpoint: http or https, without a user name and a password. */
  readonly url: string | URL;
  /** Where the proxy is mounted at the endpoint, if not at its root. */
  readonly basePath?: string;
  /** Default: `sealed`. */
  readonly requests?: Protection;
  /** Default: `sealed`. */
  readonly responses?: Protection;
  /** The key pair that responses are sealed to. Default: one RSA-4096 pair, born with the first request. */
  readonly keyHandler?: KeyHandler;
  readonly headerNames?: Partial<HeaderNames>;
  /**
   * Default: the global one, but for an `https` endpoint whose TLS key has to be the attested one a pinned one
   * (pinned-fetch.ts). There, one that is given has to be of that kind.
   */
  readonly fetch?: typeof globalThis.fetch;
  /** Default: the clock. */
  readonly nowUnixSeconds?: () => number;
};

export interface Client {
  /** Scheme, host and port of the endpoint: relative requests are resolved against it, others must be of it. */
  readonly origin: string;
  /**
   * Like the global `fetch`, to this endpoint only. The body is sent and the response is opened in one piece. Redirects
   * are returned, not followed: following one would leave the endpoint that was verified.
   *
   * @throws {PolarisError} VERIFICATION_FAILED and whatever verifyAttestation throws, TLS_KEY_MISMATCH if the TLS key had to
   *   be the attested one and is another one by now (nothing was sent then),
   *   RESPONSE_NOT_SEALED, ENVELOPE_OPEN_FAILED, ENDPOINT_UNREACHABLE, REQUEST_INVALID
   * @throws the signal's reason once it is aborted
   */
  readonly fetch: (input: string | URL | Request, init?: RequestInit) => Promise<Response>;
  /** The last verification, also one that failed; `undefined` before the first and where there is none. */
  readonly verification: () => VerificationReport | undefined;
}

/** Whom a client speaks to: the key to seal to, and how to reach who has it. */
interface Recipient {
  readonly key: RecipientKey;
  readonly fetch: typeof globalThis.fetch;
}

/** What goes over the wire, and over which one. */
interface Prepared {
  readonly wire: WireRequest;
  readonly fetch: typeof globalThis.fetch;
}

/** Requests behind bodies that somebody still reads: an abort only gets through as long as its Request is there. */
const SOURCES = new WeakMap<ReadableStream, Request>();

/**
 * A client that seals requests to one endpoint and opens its responses. The key is found once and pinned: an endpoint
 * that comes back with another one needs a new client, and with it a new verification.
 *
 * @throws {PolarisError} EXPECTATIONS_MISSING if not exactly one reason for trust is given, USAGE_INVALID for another URL
 *   than an endpoint's
 */
export function createClient(options: ClientOptions): Client {
  const { keyHandler = createEphemeralKeyHandler(), fetch = globalThis.fetch } = options;
  const trust = readTrust(options);
  const endpoint = parseEndpoint(new URL(options.basePath ?? "", parseEndpoint(options.url)));
  const names = { ...DEFAULT_HEADER_NAMES, ...options.headerNames };
  // Whatever is not "clear" to the letter is sealed.
  const sealsRequests = options.requests !== "clear";
  const sealsResponses = options.responses !== "clear";
  let verification: VerificationReport | undefined;

  const recipient = singleFlight(async (): Promise<Recipient> => {
    if ("publicKey" in trust) return { key: await importPublicKey(trust.publicKey), fetch };
    // No caller's signal: many callers wait for this.
    if ("insecureSkipVerification" in trust) return { key: await fetchPublicKey(endpoint, { fetch }), fetch };
    const verifiedFetch = await chooseFetch(endpoint, trust.expect.tls, options.fetch);
    verification = await verifyAttestation({
      url: endpoint,
      expectations: trust.expect,
      fetch: verifiedFetch,
      ...(options.nowUnixSeconds === undefined ? {} : { nowUnixSeconds: options.nowUnixSeconds() }),
    });
    return { key: trustedKey(verification), fetch: verifiedFetch };
  });

  async function prepare(request: ReadRequest): Promise<Prepared> {
    const found = sealsRequests || "expect" in trust ? await recipient() : undefined;
    const responseKeyPem = sealsResponses ? await keyHandler.publicKeyPem() : undefined;
    const wire =
      sealsRequests && found !== undefined
        ? await sealRequest(request, found.key, names, responseKeyPem)
        : passRequest(request, names, responseKeyPem);
    return { wire, fetch: found?.fetch ?? fetch };
  }

  async function send({ method, signal, source }: ReadRequest, { wire, fetch }: Prepared): Promise<Response> {
    try {
      const response = await fetch(mountUrl(endpoint) + wire.target, {
        method,
        headers: wire.headers,
        signal,
        ...(wire.body === undefined ? {} : { body: wire.body }),
        redirect: "manual",
        // All sealed requests have one URL: a cache would mix them up. What a browser adds by itself would be clear.
        cache: "no-store",
        credentials: "omit",
        referrerPolicy: "no-referrer",
      });
      if (source !== undefined && response.body !== null) SOURCES.set(response.body, source);
      return sealsResponses ? await openResponse(response, method, keyHandler.unwrap) : response;
    } catch (cause) {
      if (signal.aborted || isPolarisError(cause)) throw cause;
      throw endpointUnreachable(endpoint, cause);
    }
  }

  return {
    origin: endpoint.origin,
    verification: () => verification,
    fetch: async (input, init) => {
      const request = await readRequest(endpoint, input, init);
      request.signal.throwIfAborted();
      const prepared = await orAbort(request.signal, prepare(request));
      return await send(request, prepared);
    },
  };
}

/** The one reason for trust, read by value: `insecureSkipVerification: false` is none. */
function readTrust(options: Partial<Record<TrustName, unknown>>): ClientTrust {
  const { publicKey, expect, insecureSkipVerification } = options;
  const reasons = [
    ...(publicKey === undefined ? [] : [{ publicKey }]),
    ...(expect === undefined ? [] : [{ expect }]),
    ...(insecureSkipVerification === true ? [{ insecureSkipVerification }] : []),
  ];
  if (reasons.length === 1) return reasons[0] as ClientTrust;
  throw new PolarisError(
    "EXPECTATIONS_MISSING",
    `client has ${reasons.length} reasons to trust the endpoint, expected one`,
    { hint: "give expect (from the stack's lock), publicKey or insecureSkipVerification" },
  );
}

type TrustName = "publicKey" | "expect" | "insecureSkipVerification";

function trustedKey(report: VerificationReport): RecipientKey {
  if (report.trusted && report.publicKey !== undefined) return report.publicKey;
  const failed = failedChecks(report);
  throw new PolarisError("VERIFICATION_FAILED", `endpoint is not the expected one: ${failed.join(", ")}`, {
    details: { failed },
  });
}
