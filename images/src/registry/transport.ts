import { Readable } from "node:stream";
import type { IncomingHttpHeaders } from "node:http";
import type { LookupFunction } from "node:net";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { Agent, errors } from "undici";
import type { Dispatcher } from "undici";
import { connectionFailure } from "./connection-failure.ts";
import { createProxyDispatcher } from "./outbound-proxy.ts";
import type { OutboundProxy } from "./outbound-proxy.ts";
import { isLoopback, mayLeadTo } from "./registry-host.ts";

/** How long to wait for a server, in milliseconds. */
export interface TransportTimeouts {
  readonly connectMs: number;
  /** From the end of the request to the head of its answer. */
  readonly answerMs: number;
  /** The same for an upload, which the registry may first have to put somewhere. */
  readonly uploadAnswerMs: number;
  /** Between two pieces of a body. */
  readonly idleMs: number;
}

const TIMEOUTS: TransportTimeouts = {
  connectMs: 10_000,
  answerMs: 30_000,
  uploadAnswerMs: 300_000,
  idleMs: 60_000,
};

const MAX_REDIRECTS = 5;

/** What is read of a body that nobody wants, so that its connection can be used again. */
const MAX_DISCARDED_BYTES = 64 * 1024;
const DISCARD_TIMEOUT_MS = 5_000;

/** For manifests, tokens and errors: 4 MiB at 35 KiB/s. */
const SHORT_BODY_TIMEOUT_MS = 120_000;

export interface TransportOptions {
  readonly timeouts?: Partial<TransportTimeouts>;
  /** Instead of the system's name service. */
  readonly lookup?: LookupFunction;
  /** In PEM, instead of those that this Node trusts. */
  readonly certificateAuthorities?: string;
  /**
   * What goes to other machines goes through it. What stays on this one never does, whatever the proxy's settings say: it is
   * not encrypted, and another machine has another loopback.
   */
  readonly proxy?: OutboundProxy | undefined;
}

/** Bytes that are sent as they are made. The length has to be known before. */
export interface StreamedBody {
  readonly byteCount: number;
  readonly open: () => AsyncIterable<Uint8Array>;
}

export interface RegistryRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT";
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** Only the origin of `url` gets it, wherever its answers lead. */
  readonly authorization?: string | undefined;
  readonly body?: string | Uint8Array | StreamedBody;
  readonly signal: AbortSignal;
}

export interface RegistryAnswer {
  /** Who answered: not who was asked, after a redirect. */
  readonly url: URL;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readable;
  /** Of the request. */
  readonly signal: AbortSignal;
}

/** HTTP to registries, token servers and wherever they lead. */
export interface Transport {
  /**
   * Sends a request once. Redirects of GET and HEAD are followed: five at most, never from TLS to plain HTTP, and never
   * with our authorization to another origin. Whoever gets an answer must read its body, or discard it.
   *
   * @throws {PolarisError} REGISTRY_UNREACHABLE; REGISTRY_FAILED for a redirect that is not followed
   * @throws what `body.open()` throws, and the signal's reason, as they are
   */
  send(request: RegistryRequest): Promise<RegistryAnswer>;
  /** Breaks off whatever still runs. */
  close(): Promise<void>;
}

export function createTransport(options: TransportOptions = {}): Transport {
  const timeouts = { ...TIMEOUTS, ...options.timeouts };
  const agentOptions = {
    allowH2: false,
    headersTimeout: timeouts.answerMs,
    bodyTimeout: timeouts.idleMs,
    connect: {
      allowH2: false,
      timeout: timeouts.connectMs,
      ...(options.lookup !== undefined && { lookup: options.lookup }),
      ...(options.certificateAuthorities !== undefined && { ca: options.certificateAuthorities }),
    },
  };
  const direct = new Agent(agentOptions);
  const proxied =
    options.proxy &&
    createProxyDispatcher(options.proxy, { ...agentOptions, tunnelTimeoutMs: timeouts.connectMs });
  const exchange = async (request: RegistryRequest): Promise<RegistryAnswer> =>
    proxied === undefined || isLoopback(request.url)
      ? await exchangeOver(direct, request, timeouts)
      : await exchangeOver(proxied, request, timeouts);

  return {
    async send(request) {
      let answer = await exchange(request);
      let { authorization } = request;
      for (let redirects = 0; isRedirect(request, answer); redirects++) {
        await discardBody(answer);
        const { url: from } = answer;
        if (redirects === MAX_REDIRECTS) throw redirectFailure(from, `more than ${MAX_REDIRECTS} times`);
        const url = leadTo(answer, answer.headers.location);
        // Once away from the origin, nobody has our authorization again: the way back was chosen by somebody else.
        if (url.origin !== from.origin) authorization = undefined;
        answer = await exchange({ ...request, url, authorization });
      }
      return answer;
    },
    async close() {
      await Promise.all([direct.destroy(), proxied?.destroy()]);
    },
  };
}

/**
 * Where an answer leads.
 *
 * @param location  what it says, relative to who answered
 * @throws {PolarisError} REGISTRY_FAILED if it leads nowhere, or where we do not go
 */
export function leadTo({ url: from }: RegistryAnswer, location: string | undefined): URL {
  // A URL can carry a password: neither it nor an error that holds it goes into ours.
  const to = location === undefined ? null : URL.parse(location, from);
  if (to === null) throw redirectFailure(from, "to nowhere: expected a URL in its answer");
  if (!mayLeadTo(from, to)) {
    throw redirectFailure(from, `to ${to.protocol}//${to.host}: expected https, and no login in the URL`);
  }
  return to;
}

/** Lets the connection be used again, or closes it if that would take long. */
export async function discardBody(answer: RegistryAnswer): Promise<void> {
  try {
    await readBody(answer, MAX_DISCARDED_BYTES, DISCARD_TIMEOUT_MS);
  } catch {
    // Nobody wants these bytes: it does not matter why they did not come.
    answer.signal.throwIfAborted();
  }
}

/**
 * A short body as a whole.
 *
 * @param timeoutMs  for all of it: a server that sends a byte now and then does not keep us
 * @returns undefined if it is longer than `maxBytes`
 * @throws {PolarisError} REGISTRY_UNREACHABLE if it breaks off, or takes too long
 */
export async function readBody(
  answer: RegistryAnswer,
  maxBytes: number,
  timeoutMs: number = SHORT_BODY_TIMEOUT_MS,
): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let byteCount = 0;
  const timer = setTimeout(() => answer.body.destroy(new errors.BodyTimeoutError()), timeoutMs);
  try {
    for await (const chunk of streamBody(answer)) {
      byteCount += chunk.byteLength;
      if (byteCount > maxBytes) return undefined;
      chunks.push(chunk);
    }
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks);
}

/**
 * A body of any length, as it comes. To stop reading closes the connection.
 *
 * @throws {PolarisError} REGISTRY_UNREACHABLE if it breaks off
 */
export async function* streamBody({ url, body, signal }: RegistryAnswer): AsyncGenerator<Uint8Array> {
  const chunks: AsyncIterator<Uint8Array> = body[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await chunks.next().catch((cause: unknown) => {
        signal.throwIfAborted();
        throw connectionFailure(url.host, cause);
      });
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    body.destroy();
  }
}

async function exchangeOver(
  dispatcher: Dispatcher,
  { method, url, headers, authorization, body, signal }: RegistryRequest,
  timeouts: TransportTimeouts,
): Promise<RegistryAnswer> {
  signal.throwIfAborted();
  const upload = isStreamed(body) ? new Upload(body.open()) : undefined;
  try {
    const answer = await dispatcher.request({
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method,
      signal,
      headers: {
        // A body is checked against the digest of its stored bytes.
        "accept-encoding": "identity",
        "user-agent": "polaris",
        ...headers,
        ...(isStreamed(body) && { "content-length": String(body.byteCount) }),
        ...(authorization !== undefined && { authorization }),
      },
      body: isStreamed(body) ? (upload?.stream ?? null) : (body ?? null),
      ...(upload !== undefined && { headersTimeout: timeouts.uploadAnswerMs }),
    });
    return { url, status: answer.statusCode, headers: answer.headers, body: answer.body, signal };
  } catch (cause) {
    signal.throwIfAborted();
    if (upload?.failure !== undefined) throw upload.failure.reason;
    throw connectionFailure(url.host, cause);
  } finally {
    // A server may answer before it has read everything: then nobody reads on.
    upload?.stream.destroy();
  }
}

/** Bytes on their way out. Where they come from may fail as well, and that is not a failure of the connection. */
class Upload {
  readonly stream: Readable;
  failure: { readonly reason: unknown } | undefined;

  constructor(bytes: AsyncIterable<Uint8Array>) {
    this.stream = Readable.from(this.#watch(bytes), { objectMode: true, highWaterMark: 1 });
    // Whoever sends hears of it; without a listener the process would end.
    this.stream.on("error", () => {});
  }

  async *#watch(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      yield* bytes;
    } catch (reason) {
      this.failure = { reason };
      throw reason;
    }
  }
}

function isStreamed(body: RegistryRequest["body"]): body is StreamedBody {
  return typeof body === "object" && "open" in body;
}

function isRedirect({ method }: RegistryRequest, { status }: RegistryAnswer): boolean {
  return (method === "GET" || method === "HEAD") && [301, 302, 303, 307, 308].includes(status);
}

function redirectFailure(from: URL, what: string): PolarisError {
  return new PolarisError("REGISTRY_FAILED", `${from.host} redirects ${what}`, {
    hint: "the registry is not set up as it should be: tell those who run it",
    details: { host: from.host },
  });
}
