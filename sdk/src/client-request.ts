import { encodeBase64 } from "./base64.ts";
import { sealEnvelope } from "./envelope.ts";
import { PolarisError } from "./errors.ts";
import {
  KEY_ID_HEADER,
  RESPONSE_KEY_HEADER,
  SEALED_MEDIA_TYPE,
  SECURE_HEADER,
  URL_HEADER,
} from "./headers.ts";
import type { RecipientKey } from "./public-key.ts";

/** Names of the three headers of wire v1, for a proxy that renames them. */
export interface HeaderNames {
  readonly url: string;
  readonly secure: string;
  readonly responseKey: string;
}

export const DEFAULT_HEADER_NAMES: HeaderNames = {
  url: URL_HEADER,
  secure: SECURE_HEADER,
  responseKey: RESPONSE_KEY_HEADER,
};

/** One request as the caller means it, with its body read: wire v1 seals a body in one piece. */
export interface ReadRequest {
  readonly method: string;
  /** Path and query; a fragment is nobody's but the caller's. */
  readonly target: string;
  readonly headers: Headers;
  /** Absent if empty. */
  readonly body?: Uint8Array<ArrayBuffer>;
  /** The caller's own. One of a Request that is made here would be cut off from it once that Request is collected. */
  readonly signal: AbortSignal;
  /** The caller's Request, if it is one: whoever waits for {@link signal} has to keep it, for the same reason. */
  readonly source: Request | undefined;
}

/** What goes over the wire. */
export interface WireRequest {
  readonly target: string;
  readonly headers: Headers;
  readonly body?: Uint8Array<ArrayBuffer>;
}

/**
 * Reads the arguments of a `fetch` call.
 *
 * @param endpoint  relative inputs are resolved against its origin, absolute ones must be of it
 * @throws {TypeError} as `fetch` does, for what cannot be a request
 * @throws {PolarisError} REQUEST_INVALID for another origin: its path would reach this endpoint instead
 */
export async function readRequest(
  endpoint: URL,
  input: string | URL | Request,
  init: RequestInit = {},
): Promise<ReadRequest> {
  const { body, ...others } = init;
  // Not every browser takes a stream as a request body, but all can read one.
  const content = body instanceof ReadableStream ? await new Response(body).arrayBuffer() : body;
  const request = new Request(input instanceof Request ? input : new URL(input, endpoint.origin), {
    ...others,
    ...(content === undefined ? {} : { body: content, duplex: "half" }),
  });
  const { origin, pathname, search } = new URL(request.url);
  if (origin !== endpoint.origin) {
    throw new PolarisError(
      "REQUEST_INVALID",
      `request goes to ${origin}, this client speaks to ${endpoint.origin}`,
    );
  }
  // A browser's Request drops header names that a page may not set outside, such as cookie; inside an envelope it may.
  const headers = new Headers(init.headers ?? request.headers);
  const contentType = request.headers.get("content-type");
  if (contentType !== null) headers.set("content-type", contentType);

  const bytes = new Uint8Array(await request.arrayBuffer());
  const source = input instanceof Request ? input : undefined;
  return {
    method: request.method,
    target: pathname + search,
    headers,
    ...(bytes.length === 0 ? {} : { body: bytes }),
    signal: (init.signal === undefined ? source?.signal : init.signal) ?? new AbortController().signal,
    source,
  };
}

/**
 * Seals target, headers and body, each in an envelope of its own. Of the request, only the method stays visible. The key's
 * id beside them lets a proxy with several keys open with the right one at once.
 *
 * @param responseKeyPem  the key to seal the response to; its sealed copy lets the proxy notice an exchanged one
 */
export async function sealRequest(
  request: ReadRequest,
  recipient: RecipientKey,
  names: HeaderNames,
  responseKeyPem: string | undefined,
): Promise<WireRequest> {
  const responseKey = formatResponseKey(names, responseKeyPem);
  const utf8 = new TextEncoder();
  const innerHeaders = JSON.stringify({ ...Object.fromEntries(request.headers), ...responseKey });
  const [url, secure, body] = await Promise.all([
    sealEnvelope(utf8.encode(request.target), recipient),
    sealEnvelope(utf8.encode(innerHeaders), recipient),
    request.body === undefined ? undefined : sealEnvelope(request.body, recipient),
  ]);
  const headers = new Headers(responseKey);
  headers.set(names.url, encodeBase64(url));
  headers.set(names.secure, encodeBase64(secure));
  headers.set(KEY_ID_HEADER, recipient.keyId);
  if (body === undefined) return { target: "/", headers };
  headers.set("content-type", SEALED_MEDIA_TYPE);
  return { target: "/", headers, body };
}

/** The same request in the clear, asking for a sealed response if there is a key for it. */
export function passRequest(
  request: ReadRequest,
  names: HeaderNames,
  responseKeyPem: string | undefined,
): WireRequest {
  const headers = new Headers(request.headers);
  for (const [name, value] of Object.entries(formatResponseKey(names, responseKeyPem)))
    headers.set(name, value);
  return { target: request.target, headers, ...(request.body === undefined ? {} : { body: request.body }) };
}

function formatResponseKey(names: HeaderNames, pem: string | undefined): Record<string, string> {
  return pem === undefined ? {} : { [names.responseKey]: encodeBase64(new TextEncoder().encode(pem)) };
}
