/**
 * Interceptors for axios, named as in the original SDK. They make axios send through a client: sealing comes after every
 * other interceptor and transform, so that nothing they add stays in the clear, and axios reads the opened answer as it
 * reads any other.
 */
import type { AxiosResponse, InternalAxiosRequestConfig } from "axios";
import type { Client } from "./client.ts";
import { PolarisError } from "./errors.ts";

export interface AxiosInterceptorOptions {
  /** What `createClient` gives: it knows the endpoint, and why to trust it. */
  readonly polarisSDK: Client;
}

/**
 * An interceptor for `axios.interceptors.request.use`: every request of that axios goes to the client's endpoint, sealed as
 * the client does it; relative ones are resolved against it. One interceptor is enough: answers are opened too, also those
 * that axios rejects for their status.
 *
 * Errors of the client are the `cause` of an AxiosError with the same `code`. What belongs to axios's transport of Node
 * (agents, proxies, sockets) has no effect: give the client a `fetch` of its own instead.
 *
 * @throws {PolarisError} USAGE_INVALID if the options are not exactly a client; from the interceptor REQUEST_INVALID for
 *   the response type `stream`
 */
export function createAxiosRequestInterceptor(
  options: AxiosInterceptorOptions,
): (config: InternalAxiosRequestConfig) => InternalAxiosRequestConfig {
  const client = readClient(options);
  const fetch = transportOf(client);
  return (config) => {
    if (config.responseType === "stream") {
      throw new PolarisError("REQUEST_INVALID", "an answer is opened in one piece and cannot be a stream", {
        hint: 'use the responseType "arraybuffer" or "blob"',
      });
    }
    return Object.assign(config, {
      adapter: "fetch",
      // Without a Request of its own, axios hands everything over as it is: one of a browser would drop cookie headers.
      env: { ...config.env, fetch, Request: null, FormData: globalThis.FormData },
      baseURL: resolveBase(config.baseURL, client.origin),
      // Only a browser itself may navigate: an axios before 1.12, which knows no env.fetch, fails instead of sending.
      fetchOptions: { ...config.fetchOptions, mode: "navigate" },
    });
  };
}

/**
 * An interceptor for `axios.interceptors.response.use`. It changes nothing, and refuses a response that came another way
 * than through the client: because the request interceptor was not there, or because another one went past it.
 *
 * @throws {PolarisError} USAGE_INVALID as above; from the interceptor RESPONSE_NOT_SEALED
 */
export function createAxiosResponseInterceptor(
  options: AxiosInterceptorOptions,
): (response: AxiosResponse) => AxiosResponse {
  const fetch = transportOf(readClient(options));
  return (response) => {
    const { adapter, env } = response.config;
    if (adapter === "fetch" && env?.fetch === fetch) return response;
    throw new PolarisError("RESPONSE_NOT_SEALED", "request was not sent through the client", {
      hint: "register createAxiosRequestInterceptor with the same client, and leave the adapter to it",
      details: { status: response.status },
    });
  };
}

type Fetch = Client["fetch"];

/** One for each client: axios keeps every `fetch` that it has seen, and by it the interceptors know each other's requests. */
const TRANSPORTS = new WeakMap<Client, Fetch>();

function transportOf(client: Client): Fetch {
  const transport = TRANSPORTS.get(client) ?? createTransport(client);
  TRANSPORTS.set(client, transport);
  return transport;
}

function createTransport(client: Client): Fetch {
  return async (input, init) => {
    const headers = new Headers(init?.headers);
    const body = (await readBody(init?.body)) ?? null;
    // In Node, axios calls every body urlencoded that has no content type: forms, whose boundary only fetch knows, and none.
    if (body === null || body instanceof FormData) headers.delete("content-type");
    const response = await client.fetch(input, { ...init, mode: "cors", headers, body });
    if (response.type !== "opaqueredirect") return response;
    // Axios would take its status, 0, for a success.
    throw new PolarisError("RESPONSE_NOT_SEALED", "answer is a redirect, which the browser hides");
  };
}

type Body = RequestInit["body"];
type Chunk = string | Uint8Array<ArrayBuffer>;

/** A body that fetch knows: of any other object it would send the text "[object Object]". */
async function readBody(body: unknown): Promise<Body> {
  if (typeof body !== "object" || body === null || ArrayBuffer.isView(body)) return body as Body;
  const kinds = [ArrayBuffer, Blob, URLSearchParams, FormData, ReadableStream];
  if (kinds.some((kind) => body instanceof kind)) return body as Body;
  if (Symbol.asyncIterator in body) return await readStream(body as AsyncIterable<Chunk>);
  throw new PolarisError("REQUEST_INVALID", "body is an object that fetch cannot read", {
    hint: "use the global FormData, a Blob, bytes or text; plain objects are for axios to transform",
  });
}

/** A stream of Node. */
async function readStream(stream: AsyncIterable<Chunk>): Promise<Blob> {
  const parts: Chunk[] = [];
  for await (const part of stream) parts.push(part);
  return new Blob(parts);
}

/** Absolute, so that axios takes no endpoint for a part of the page, whose XSRF token it would add. */
function resolveBase(baseURL: string | undefined, origin: string): string {
  const base = baseURL ?? "";
  return URL.canParse(base, origin) ? new URL(base, origin).href : base;
}

function readClient(options: AxiosInterceptorOptions): Client {
  const { polarisSDK, ...others } = options;
  if (typeof polarisSDK?.fetch !== "function") {
    throw new PolarisError("USAGE_INVALID", "polarisSDK is not a client", {
      hint: "give what createClient returns",
    });
  }
  const [unknown] = Object.keys(others);
  if (unknown === undefined) return polarisSDK;
  throw new PolarisError("USAGE_INVALID", `interceptor has no option "${unknown}"`, {
    hint: "publicKey, requests, responses and basePath are options of createClient",
  });
}
