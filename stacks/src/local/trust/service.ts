import type { IncomingHttpHeaders } from "node:http";

/** One HTTP request, read completely; nothing in it is trusted. */
export interface ServiceRequest {
  readonly method: string;
  /** Path of the URL as it was sent: still percent-encoded, without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array;
}

export interface ServiceResponse {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body: unknown;
}

/** What a service does with one request. `operation` is its name in logs, for example `kms.asymmetricDecrypt`. */
export interface Route {
  readonly operation: string;
  /** Rejects with a {@link Refusal} to answer with an error in the cloud's own shape. */
  handle(): Promise<ServiceResponse>;
}

/** A service knows its own paths: undefined means that the request is for somebody else. */
export type Service = (request: ServiceRequest) => Route | undefined;

/** The credential of an `Authorization: Bearer …` header; undefined if there is none. */
export function bearerCredential(request: ServiceRequest): string | undefined {
  const match = /^Bearer +([\x21-\x7e]+)$/i.exec(request.headers.authorization ?? "");
  return match?.[1];
}

/** Path segments, decoded once; undefined where the encoding is wrong or hides a slash. */
export function pathSegments(path: string): readonly string[] | undefined {
  try {
    const segments = path.split("/").slice(1).map(decodeURIComponent);
    return segments.some((segment) => segment.includes("/")) ? undefined : segments;
  } catch {
    // Malformed percent-encoding: no service has such a path.
    return undefined;
  }
}
