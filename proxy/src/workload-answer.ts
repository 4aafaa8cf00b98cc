import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { Dispatcher } from "undici";
import { departure } from "./client-presence.ts";
import type { ClientPresence } from "./client-presence.ts";
import { createFieldFilter, withoutFields } from "./field-lines.ts";
import type { FieldFilter, FieldLines } from "./field-lines.ts";
import type { AnswerHead, AnswerSink } from "./wire-format.ts";

const CONTENT_LENGTH_ONLY: ReadonlySet<string> = new Set(["content-length"]);
const BODILESS_STATUSES: ReadonlySet<number> = new Set([204, 205, 304]);

/** Fields that a trailer must not have, because they are read before the body (RFC 9110 §6.5.1). */
const filterTrailers = createFieldFilter([
  "authorization",
  "cache-control",
  "content-encoding",
  "content-length",
  "content-range",
  "content-type",
  "host",
  "set-cookie",
]);

/**
 * Sends one request to the workload and gives its answer to a sink as it comes, at the sink's pace.
 *
 * @param filter  takes out the fields of the answer that do not go on
 *
 * Rejects with WORKLOAD_UNREACHABLE, WORKLOAD_TIMEOUT, WORKLOAD_RESPONSE_INVALID, what the sink throws, or because the
 * client has left.
 */
export function passAnswer(
  pool: Dispatcher,
  options: Dispatcher.DispatchOptions,
  sink: AnswerSink,
  client: ClientPresence,
  filter: FieldFilter,
): Promise<void> {
  return new Promise((resolve, reject) => {
    pool.dispatch(options, new AnswerPassage(options.method, sink, client, filter, resolve, reject));
  });
}

/** What undici calls while one answer comes in. A class, because five new functions a request would cost more. */
class AnswerPassage implements Dispatcher.DispatchHandler {
  readonly #method: string;
  readonly #sink: AnswerSink;
  readonly #client: ClientPresence;
  readonly #filter: FieldFilter;
  readonly #resolve: () => void;
  readonly #reject: (error: unknown) => void;
  #hasHead = false;

  constructor(
    method: string,
    sink: AnswerSink,
    client: ClientPresence,
    filter: FieldFilter,
    resolve: () => void,
    reject: (error: unknown) => void,
  ) {
    this.#method = method;
    this.#sink = sink;
    this.#client = client;
    this.#filter = filter;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#client.onLeave(() => controller.abort(departure()));
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    const lines = this.#filter(readRawLines(controller.rawHeaders));
    if (status < 200) {
      this.#sink.interim(status, lines);
      return;
    }
    this.#hasHead = true;
    this.#sink.head(toHead(this.#method, status, lines));
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#sink.data(chunk, () => controller.resume())) controller.pause();
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    const trailers = readRawLines(controller.rawTrailers);
    this.#sink.end(trailers.length === 0 ? trailers : filterTrailers(trailers));
    this.#resolve();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: unknown): void {
    this.#reject(this.#client.hasLeft ? departure() : toWorkloadError(error, this.#hasHead));
  }
}

function toHead(method: string, status: number, fieldLines: FieldLines): AnswerHead {
  // RFC 9110 §15: clients treat other numbers as they like, and HTTP/2 does not send them.
  if (status > 599)
    throw new PolarisError("WORKLOAD_RESPONSE_INVALID", "the workload's status is none of HTTP");
  const hasBody = method !== "HEAD" && !BODILESS_STATUSES.has(status);
  // HEAD and 304 tell the length that GET would have; 204 and 205 must not (RFC 9110 §8.6), whatever the workload says.
  if (status !== 204 && status !== 205) return { status, fieldLines, hasBody };
  return { status, fieldLines: withoutFields(fieldLines, CONTENT_LENGTH_ONLY), hasBody };
}

/** undici hands the lines of HTTP/1.1 over as bytes. */
export function readRawLines(rawLines: Dispatcher.DispatchController["rawHeaders"]): string[] {
  if (!Array.isArray(rawLines)) return [];
  const lines: string[] = [];
  for (const part of rawLines) lines.push(typeof part === "string" ? part : part.toString("latin1"));
  return lines;
}

const TIMEOUT_CODES = new Set(["UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT"]);

/** Codes for no connection, or none any more: the operating system's, and undici's for the same. */
const CONNECTION_CODES = /^(E[A-Z]+|UND_ERR_SOCKET|UND_ERR_CONNECT_TIMEOUT)$/;

/** @param hasBegun  whether the head of the answer had come */
export function toWorkloadError(error: unknown, hasBegun: boolean): unknown {
  if (error instanceof PolarisError) return error;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (TIMEOUT_CODES.has(code)) {
    return new PolarisError("WORKLOAD_TIMEOUT", "the workload has not answered in time", { cause: error });
  }
  if (!hasBegun && CONNECTION_CODES.test(code) && !isUnasked(error)) {
    return new PolarisError("WORKLOAD_UNREACHABLE", "cannot reach the workload", { cause: error });
  }
  // A request that undici does not take, or anything that is not its error, would be our mistake.
  if (code === "UND_ERR_INVALID_ARG" || !isOfConnection(error)) return error;
  return new PolarisError("WORKLOAD_RESPONSE_INVALID", "the workload's answer is broken off or is not HTTP", {
    cause: error,
  });
}

/** For an interim answer or another protocol that nobody has asked for, undici breaks the connection off. */
function isUnasked(error: unknown): boolean {
  return error instanceof Error && /^bad (response|upgrade)$/.test(error.message);
}

function isOfConnection(error: unknown): boolean {
  return error instanceof Error && ("code" in error || error.name === "HTTPParserError");
}
