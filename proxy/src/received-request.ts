import { METHODS } from "node:http";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { Http2ServerRequest } from "node:http2";
import type { Readable } from "node:stream";
import type { FieldLines } from "./field-lines.ts";

/** Of either version of HTTP. */
export type ClientRequest = IncomingMessage | Http2ServerRequest;

/** A request of either version of HTTP as it came, in the form of HTTP/1.1. */
export interface ReceivedRequest {
  /** One that HTTP knows, or `unknown`. */
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
  readonly fieldLines: FieldLines;
  /** Absent if there is none, or an empty one of announced length. */
  readonly body: Readable | undefined;
  /** Address that the request came from. */
  readonly peerAddress: string;
}

export function readReceived(request: ClientRequest): ReceivedRequest {
  const { method = "GET", url: target = "/", headers } = request;
  const isHttp2 = "stream" in request;
  return {
    method: isHttp2 && !isKnownMethod(method) ? "unknown" : method,
    target,
    headers,
    fieldLines: isHttp2 ? toHttp1Lines(request.rawHeaders) : request.rawHeaders,
    body: (isHttp2 ? !request.stream.endAfterHeaders : announcesBody(headers)) ? request : undefined,
    peerAddress: request.socket.remoteAddress ?? "unknown",
  };
}

const KNOWN_METHODS: ReadonlySet<string> = new Set(METHODS);

/** HTTP/2 takes any word for a method; HTTP/1 those that its parser knows. */
export function isKnownMethod(method: string): boolean {
  return KNOWN_METHODS.has(method);
}

function announcesBody({
  "content-length": length,
  "transfer-encoding": coding,
}: IncomingHttpHeaders): boolean {
  return coding !== undefined || (length !== undefined && length !== "0");
}

/** Without pseudo-header fields, and with the crumbs of a cookie put together again (RFC 9113 §8.2.3, §8.3). */
function toHttp1Lines(rawHeaders: readonly string[]): string[] {
  const lines: string[] = [];
  const crumbs: string[] = [];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? "";
    const value = rawHeaders[index + 1] ?? "";
    if (name === "cookie") crumbs.push(value);
    else if (!name.startsWith(":")) lines.push(name, value);
  }
  if (crumbs.length > 0) lines.push("cookie", crumbs.join("; "));
  return lines;
}
