import type { IncomingHttpHeaders } from "node:http";
import { listFieldValues } from "./field-lines.ts";
import type { FieldLines } from "./field-lines.ts";

/** W3C Trace Context §3.2, version 00 and what later ones keep of it: version, trace id, parent id, flags. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** §3.3: a list of at most 32 members; more than this many characters need not be passed on. */
const MAX_TRACESTATE_CHARACTERS = 512;
const TRACESTATE = /^[\x20-\x7e]*$/;

/** The trace that a request belongs to, as 32 hex digits; `undefined` if it says none, or not in the standard's form. */
export function readTraceId(headers: IncomingHttpHeaders): string | undefined {
  const traceparent = headers["traceparent"];
  if (traceparent === undefined) return undefined;
  return typeof traceparent === "string" ? TRACEPARENT.exec(traceparent)?.[1] : undefined;
}

/**
 * Gives a sealed request the trace context that a gateway on the way has put beside it. What the client sealed itself
 * goes before it.
 *
 * @param sealedLines  the opened fields of the request
 * @param outerHeaders  what travelled in the clear: only the standard's form is taken over
 */
export function withTraceContext(sealedLines: FieldLines, outerHeaders: IncomingHttpHeaders): FieldLines {
  const { traceparent, tracestate } = outerHeaders;
  if (readTraceId(outerHeaders) === undefined || listFieldValues(sealedLines, "traceparent").length > 0) {
    return sealedLines;
  }
  const lines = [...sealedLines, "traceparent", String(traceparent)];
  if (
    typeof tracestate === "string" &&
    tracestate.length <= MAX_TRACESTATE_CHARACTERS &&
    TRACESTATE.test(tracestate)
  ) {
    lines.push("tracestate", tracestate);
  }
  return lines;
}
