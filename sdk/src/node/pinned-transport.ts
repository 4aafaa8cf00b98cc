import type { ClientRequest, IncomingMessage } from "node:http";
import { request as startRequest } from "node:https";
import { isPolarisError } from "../errors.ts";
import { HOP_BY_HOP_HEADERS } from "../headers.ts";
import type { PinnedFetch } from "../pinned-fetch.ts";
import { PinningAgent } from "./pinning-agent.ts";
import { type BodyStream, streamBody } from "./stream-body.ts";

/** As long as Node's own fetch waits: for a connection, and for the next piece of an answer. */
const TIMEOUTS = { connectTimeoutMs: 10_000, idleTimeoutMs: 300_000 };

/** Responses that never have a body (WHATWG Fetch, "null body status"). */
const BODILESS_STATUSES: readonly (number | undefined)[] = [204, 205, 304];

const REDIRECT_STATUSES: readonly (number | undefined)[] = [301, 302, 303, 307, 308];

/** Node's part of createPinnedFetch (pinned-fetch.ts): HTTP/1.1 by node:https, without a dependency. */
export function createPinnedTransport(timeouts: typeof TIMEOUTS = TIMEOUTS): PinnedFetch {
  const agent = new PinningAgent(timeouts.connectTimeoutMs);
  // A Request's signal is cut off from that of its maker once the Request is collected.
  const inFlight = new Set<Request>();

  async function fetch(input: string | URL | Request, init: RequestInit = {}): Promise<Response> {
    const source = new Request(input, init);
    const given = input instanceof Request ? input : undefined;
    const signal = (init.signal === undefined ? given?.signal : init.signal) ?? undefined;
    signal?.throwIfAborted();
    const content = Buffer.from(await source.arrayBuffer());
    signal?.throwIfAborted();

    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    const request = openRequest(source, content.length, agent);
    let body: BodyStream | undefined;
    const fail = (reason: unknown): void => {
      reject(reason);
      body?.fail(reason);
      request.destroy();
    };
    const abort = (): void => fail(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    if (given !== undefined) inFlight.add(given);
    request.on("close", () => {
      signal?.removeEventListener("abort", abort);
      if (given !== undefined) inFlight.delete(given);
    });
    request.on("error", (cause) => fail(isPolarisError(cause) ? cause : fetchFailed(cause)));
    request.setTimeout(timeouts.idleTimeoutMs, () => {
      if (body?.isRead() !== false) fail(fetchFailed(new Error(`silent for ${timeouts.idleTimeoutMs} ms`)));
    });
    request.on("response", (message) => {
      try {
        refuseRedirect(source, message);
        if (source.method === "HEAD" || BODILESS_STATUSES.includes(message.statusCode)) message.resume();
        else body = streamBody(message);
        resolve(createResponse(message, body?.stream ?? null));
      } catch (cause) {
        fail(fetchFailed(cause));
      }
    });
    request.end(content);
    return await promise;
  }

  return Object.assign(fetch, { tlsPublicKeySha256: () => agent.pinned });
}

function openRequest(
  { url, method, headers }: Request,
  byteCount: number,
  agent: PinningAgent,
): ClientRequest {
  for (const [name] of headers) {
    if (HOP_BY_HOP_HEADERS.has(name))
      throw fetchFailed(new Error(`header ${name} belongs to the connection`));
  }
  const fields = Object.fromEntries(headers);
  // Node leaves it out for methods that seldom have a body, and the body would look like the next request.
  if (byteCount > 0) fields["content-length"] = String(byteCount);
  else delete fields["content-length"];
  try {
    return startRequest(url, { method, headers: fields, agent });
  } catch (cause) {
    throw fetchFailed(cause);
  }
}

/** Following one would leave the endpoint whose key is pinned. */
function refuseRedirect({ redirect }: Request, { statusCode }: IncomingMessage): void {
  if (redirect !== "manual" && REDIRECT_STATUSES.includes(statusCode)) {
    throw new Error("redirects are not followed here");
  }
}

function createResponse(message: IncomingMessage, body: ReadableStream | null): Response {
  const { statusCode = 0, statusMessage = "", rawHeaders } = message;
  const headers = new Headers();
  for (let at = 0; at + 1 < rawHeaders.length; at += 2)
    headers.append(rawHeaders[at] ?? "", rawHeaders[at + 1] ?? "");
  return new Response(body, { status: statusCode, statusText: statusMessage, headers });
}

/** What `fetch` rejects with, whatever went wrong on the way. */
function fetchFailed(cause: unknown): TypeError {
  return new TypeError("fetch failed", { cause });
}
