import type { IncomingHttpHeaders } from "node:http";
import { ERROR_HEADER } from "@polaris-cvm/sdk/headers";
import type { ProxySettings } from "./environment.ts";
import type { FieldLines } from "./field-lines.ts";

/** All that a page may want to send; the workload decides which it takes. */
const METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/** Browsers do not remember a permission for longer than two hours; after ten minutes a changed setting is everywhere. */
const MAX_AGE_SECONDS = 600;

/** RFC 9110 §5.6.2 between commas: header names as a browser lists them. */
const HEADER_NAMES = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*$/;

/** Fields of the workload that would contradict the proxy's own. */
export const CORS_FIELDS: ReadonlySet<string> = new Set([
  "access-control-allow-credentials",
  "access-control-allow-headers",
  "access-control-allow-methods",
  "access-control-allow-origin",
  "access-control-max-age",
]);

/** Which web pages browsers let use this endpoint (Fetch standard, "CORS protocol"). Cookies are never part of it. */
export interface Cors {
  /** Fields that every answer to this request needs, so that a page may see it; none where CORS is off or not asked for. */
  answerLines(headers: IncomingHttpHeaders): FieldLines;
  /** Fields of the whole answer to a preflight request, `undefined` for every other request. */
  preflightLines(method: string, headers: IncomingHttpHeaders): FieldLines | undefined;
}

const NO_LINES: FieldLines = [];

export function createCors({ origins }: ProxySettings["cors"]): Cors {
  const allowsAll = origins.includes("*");
  const allowed = new Set(origins);

  function answerLines({ origin }: IncomingHttpHeaders): FieldLines {
    if (origins.length === 0) return NO_LINES;
    const exposed = ["access-control-expose-headers", ERROR_HEADER];
    if (allowsAll) return ["access-control-allow-origin", "*", ...exposed];
    // Also where the origin is another one: a cache must not give this answer to a page that is allowed.
    const varying = ["vary", "origin"];
    if (origin === undefined || !allowed.has(origin)) return varying;
    return ["access-control-allow-origin", origin, ...exposed, ...varying];
  }

  return {
    answerLines,
    preflightLines(method, headers) {
      if (origins.length === 0 || method !== "OPTIONS") return undefined;
      if (headers.origin === undefined || headers["access-control-request-method"] === undefined) {
        return undefined;
      }
      const names = headers["access-control-request-headers"] ?? "";
      return [
        ...answerLines(headers),
        "access-control-allow-methods",
        METHODS,
        ...(HEADER_NAMES.test(names) ? ["access-control-allow-headers", names] : []),
        "access-control-max-age",
        String(MAX_AGE_SECONDS),
      ];
    },
  };
}
