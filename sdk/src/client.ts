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
   * (pinned-fetch.ts). There, one that is given has to be of that kind, and stays with the TLS key that it has pinned: give
   * none, if the client is to outlive the proxy's next start.
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
   * Where the TLS key has to be the attested one and is another one by now, nothing has been sent: the endpoint is verified
   * anew, and the request goes on if it is still the expected one, with the same key to seal to.
   *
   * @throws {PolarisError} VERIFICATION_FAILED and whatever verifyAttestation throws, TLS_KEY_MISMATCH for another TLS key with
   *   a fetch that was given, and for one that is exchanged again at once (nothing was sent then),
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

/** What goes over the wire, and to whom; nobody is known where a request in the clear is told to trust anybody. */
interface Prepared {
  readonly wire: WireRequest;
  readonly recipient: Recipient | undefined;
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

  /** Whom requests go to; `undefined` before the first and while one is looked for. */
  let current: Recipient | undefined;
  let findRecipient = singleFlight(() => find());

  /** @param known  the key that it has to have, if there was one before */
  async function find(known?: RecipientKey): Promise<Recipient> {
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
    current = { key: trustedKey(verification, known), fetch: verifiedFetch };
    return current;
  }

  /** The recipient behind a TLS key that is gone, verified anew: once for all who found it gone, and after a failure again. */
  function findAgain(gone: Recipient): Promise<Recipient> {
    if (gone === current) {
      current = undefined;
      findRecipient = singleFlight(() => find(gone.key));
    }
    return findRecipient();
  }

  async function prepare(request: ReadRequest): Promise<Prepared> {
    const recipient = sealsRequests || "expect" in trust ? await findRecipient() : undefined;
    const responseKeyPem = sealsResponses ? await keyHandler.publicKeyPem() : undefined;
    const wire =
      sealsRequests && recipient !== undefined
        ? await sealRequest(request, recipient.key, names, responseKeyPem)
        : passRequest(request, names, responseKeyPem);
    return { wire, recipient };
  }

  async function send(
    { method, signal, source }: ReadRequest,
    { wire, recipient }: Prepared,
  ): Promise<Response> {
    try {
      const response = await (recipient?.fetch ?? fetch)(mountUrl(endpoint) + wire.target, {
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
      const { wire, recipient } = prepared;
      try {
        return await send(request, prepared);
      } catch (error) {
        // A TLS key that is born with the proxy is another one after its next start. Found before the first byte was sent.
        const isTlsKeyGone = isPolarisError(error) && error.code === "TLS_KEY_MISMATCH";
        if (!isTlsKeyGone || recipient === undefined || options.fetch !== undefined) throw error;
        return await send(request, { wire, recipient: await orAbort(request.signal, findAgain(recipient)) });
      }
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

/** @param known  the key that was verified before: what is sealed already is sealed to it */
function trustedKey(report: VerificationReport, known: RecipientKey | undefined): RecipientKey {
  const { trusted, publicKey } = report;
  if (!trusted || publicKey === undefined) {
    const failed = failedChecks(report);
    throw new PolarisError("VERIFICATION_FAILED", `endpoint is not the expected one: ${failed.join(", ")}`, {
      details: { failed },
    });
  }
  if (known !== undefined && publicKey.keyId !== known.keyId) {
    throw new PolarisError(
      "VERIFICATION_FAILED",
      `endpoint came back with the key ${publicKey.keyId}, expected ${known.keyId}`,
      {
        hint: "if it has a new key on purpose, make a new client",
        details: { failed: ["public-key"], expected: known.keyId, actual: publicKey.keyId },
      },
    );
  }
  return publicKey;
}
