/** What the load generator and the workload say to each other, through whichever proxy. */

/** 1 KiB. */
export const SMALL_BODY = Buffer.alloc(1024, "polaris ");

/** 1 GiB. */
export const LARGE_BODY_BYTES = 1024 ** 3;

export const EVENT = "event: greeting\ndata: hello\n\n";

/** How long a stream of events goes on after the first. */
export const EVENTS_LAST_MS = 60;

/** A message of HTTP/1.1; with a body also its length. */
export function formatMessage(
  startLine: string,
  fields: Readonly<Record<string, string>>,
  body?: Uint8Array,
): Buffer {
  const all = body === undefined ? fields : { ...fields, "content-length": String(body.length) };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([
    Buffer.from(`${startLine}\r\n${lines.join("")}\r\n`, "latin1"),
    body ?? Buffer.alloc(0),
  ]);
}

/** A request in the clear with the fields of an ordinary client. */
export function formatClearRequest(method: "GET" | "POST", target: string, contentLength?: number): Buffer {
  return formatMessage(`${method} ${target} HTTP/1.1`, {
    host: "127.0.0.1",
    "user-agent": "polaris-bench",
    accept: "*/*",
    "accept-encoding": "gzip, br",
    authorization: "Bearer 0123456789abcdef",
    ...(contentLength === undefined
      ? {}
      : { "content-type": "text/plain", "content-length": String(contentLength) }),
  });
}
