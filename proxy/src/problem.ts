import { STATUS_CODES } from "node:http";
import { ERROR_CODES, isPolarisError } from "@polaris-cvm/sdk/errors";
import type { ErrorCode } from "@polaris-cvm/sdk/errors";
import { ERROR_HEADER, PROBLEM_MEDIA_TYPE } from "@polaris-cvm/sdk/headers";
import { sendWhole } from "./client-answer.ts";
import type { ClientResponse } from "./client-answer.ts";
import type { FieldLines } from "./field-lines.ts";

/** Failures that a later try may not meet, and after how many seconds it is worth one. */
const RETRY_AFTER_SECONDS: Partial<Record<ErrorCode, number>> = { OVERLOADED: 1, KEY_UNAVAILABLE: 5 };

/** What a client learns about a request that failed (RFC 9457). */
export interface Problem {
  readonly code: ErrorCode;
  readonly status: number;
  /** JSON: `{type, title, status, detail, code, requestId}`, without `detail` for what we did not foresee. */
  readonly body: string;
}

/** Methods of the proxy's own routes. */
export const SYSTEM_METHODS = "GET, HEAD";

/** Faults of the workload, whose errors have texts of ours without anything of an answer in them. */
const WORKLOAD_CODES: ReadonlySet<ErrorCode> = new Set([
  "WORKLOAD_UNREACHABLE",
  "WORKLOAD_TIMEOUT",
  "WORKLOAD_RESPONSE_INVALID",
]);

/** Texts for errors whose own messages name paths and services of this machine, which are for its log. */
const FIXED_DETAILS: Partial<Record<ErrorCode, string>> = {
  KEY_UNAVAILABLE: "the proxy has no key now, and keeps asking for it",
  KEY_RELEASE_DENIED: "the key service does not let this machine use its key",
  OVERLOADED: "the proxy has more to do than it takes on, try again",
  ATTESTATION_UNAVAILABLE: "the proxy has no evidence to show: it has no token agent, or got no token of it",
};

/**
 * Turns an error into what its client may know: texts of ours, never somebody else's, and about what we did not foresee
 * nothing but the id of the request.
 *
 * @param statusOverride  instead of the status of the code, where HTTP has a more exact one
 */
export function describeProblem(error: unknown, requestId: string, statusOverride?: number): Problem {
  const code = toAnswerableCode(error);
  const facts: { actor: string; http?: number } = ERROR_CODES[code];
  const status = statusOverride ?? facts.http ?? 500;
  const isTold = facts.actor === "client" || WORKLOAD_CODES.has(code);
  const detail = isTold && error instanceof Error ? error.message : FIXED_DETAILS[code];
  const body = { type: "about:blank", title: STATUS_CODES[status], status, detail, code, requestId };
  return { code, status, body: JSON.stringify(body) };
}

/** The code of an error that the proxy answers with; every other error is a bug. */
function toAnswerableCode(error: unknown): ErrorCode {
  if (!isPolarisError(error)) return "INTERNAL";
  return error.code in ERROR_CODES && "http" in ERROR_CODES[error.code] ? error.code : "INTERNAL";
}

/**
 * Sends a problem as the whole response. Problems are never sealed: the key to seal them to may be what is wrong.
 *
 * @param ownLines  fields of the proxy that every answer gets
 * @param idleTimeoutMs  longest time that a client takes nothing of it
 */
export function sendProblem(
  response: ClientResponse,
  problem: Problem,
  ownLines: FieldLines,
  idleTimeoutMs: number,
): void {
  const lines = [...problemLines(problem), ...ownLines];
  sendWhole(response, problem.status, lines, problem.body, idleTimeoutMs);
}

/** The head of a problem's answer. */
export function problemLines({ code, body }: Problem): string[] {
  const retryAfter = RETRY_AFTER_SECONDS[code];
  return [
    "content-type",
    PROBLEM_MEDIA_TYPE,
    "content-length",
    String(Buffer.byteLength(body)),
    "cache-control",
    "no-store",
    ERROR_HEADER,
    code,
    ...(retryAfter === undefined ? [] : ["retry-after", String(retryAfter)]),
    ...(code === "METHOD_NOT_ALLOWED" ? ["allow", SYSTEM_METHODS] : []),
  ];
}
