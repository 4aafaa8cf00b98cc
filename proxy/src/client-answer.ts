import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Http2ServerResponse } from "node:http2";
import { departure } from "./client-presence.ts";
import type { FieldLines } from "./field-lines.ts";
import { breakConnection } from "./last-bytes.ts";
import type { Traffic } from "./traffic.ts";
import type { AnswerHead, AnswerSink } from "./wire-format.ts";

/** What `node:http` and `node:http2` have in common of a response, and what we use of it. */
export interface ClientResponse {
  readonly headersSent: boolean;
  readonly statusCode: number;
  readonly writableLength: number;
  writeHead(status: number, lines: readonly string[]): unknown;
  /** HTTP/2 does so by itself. */
  flushHeaders?(): void;
  addTrailers(trailers: OutgoingHttpHeaders): void;
  write(chunk: Buffer): boolean;
  end(): unknown;
  end(body: string | Buffer): unknown;
  setTimeout(timeoutMs: number): unknown;
  on(event: "close" | "timeout", callback: () => void): unknown;
  once(event: "close" | "drain", callback: () => void): unknown;
  destroy(error?: Error): unknown;
}

/** Sends an answer to the client as it comes, at the client's pace. */
export class ClientSink implements AnswerSink {
  readonly #response: ClientResponse;
  readonly #ownLines: FieldLines;
  readonly #traffic: Traffic;
  readonly #idleTimeoutMs: number;
  #hasBody = true;
  #isWatched = false;
  /** The head waits, and with it the first of the body, until all that has come together can go together. */
  #isHolding = false;
  #first: Buffer | undefined;

  /**
   * @param ownLines  fields of the proxy that the answer gets besides
   * @param idleTimeoutMs  longest time that a client takes nothing of what waits for it; then it is cut off
   */
  constructor(response: ClientResponse, ownLines: FieldLines, traffic: Traffic, idleTimeoutMs: number) {
    this.#response = response;
    this.#ownLines = ownLines;
    this.#traffic = traffic;
    this.#idleTimeoutMs = idleTimeoutMs;
  }

  interim(status: number, fieldLines: FieldLines): void {
    sendInterim(this.#response, status, fieldLines);
  }

  head({ status, fieldLines, hasBody }: AnswerHead): void {
    this.#hasBody = hasBody;
    let lines = this.#ownLines.length === 0 ? fieldLines : [...fieldLines, ...this.#ownLines];
    // Node knows that 204 and 304 have no body; 205 has to say so (RFC 9110 §15.3.6).
    if (status === 205) lines = [...lines, "content-length", "0"];
    this.#response.writeHead(status, lines);
    this.#isHolding = true;
    hold(this);
  }

  data(chunk: Buffer, resume: () => void): boolean {
    if (!this.#hasBody) return true;
    this.#traffic.bytesOut += chunk.length;
    if (this.#isHolding) {
      if (this.#first === undefined) {
        this.#first = chunk;
        return true;
      }
      this.sendHeld();
    }
    if (this.#response.write(chunk)) return true;
    this.#watch();
    this.#response.once("drain", resume);
    return false;
  }

  end(trailers: FieldLines): void {
    this.#isHolding = false;
    if (trailers.length > 0) this.#response.addTrailers(toHeaderObject(trailers));
    if (this.#first === undefined) this.#response.end();
    else this.#response.end(this.#first);
    if (this.#response.writableLength > 0) this.#watch();
  }

  /** Node would keep a head back until there is some of the body, which a stream of events may not have for long. */
  sendHeld(): void {
    if (!this.#isHolding || isCutOff(this.#response)) return;
    this.#isHolding = false;
    const first = this.#first;
    this.#first = undefined;
    if (first === undefined) this.#response.flushHeaders?.();
    else if (!this.#response.write(first)) this.#watch();
  }

  /** From the first time that the client is behind. */
  #watch(): void {
    if (!this.#isWatched) cutWhenIdle(this.#response, this.#idleTimeoutMs);
    this.#isWatched = true;
  }
}

/** What waits until the loop has read all that had come: looked at once for all, for one look each costs more than the rest. */
let holding: ClientSink[] = [];

function hold(sink: ClientSink): void {
  if (holding.push(sink) === 1) setImmediate(sendAllHeld);
}

function sendAllHeld(): void {
  const sinks = holding;
  holding = [];
  for (const sink of sinks) sink.sendHeld();
}

/**
 * Sends an answer of the proxy's own.
 *
 * @param body  absent where HTTP has none
 * @param idleTimeoutMs  as for {@link ClientSink}
 */
export function sendWhole(
  response: ClientResponse,
  status: number,
  fieldLines: FieldLines,
  body: string | undefined,
  idleTimeoutMs: number,
): void {
  // What a head that could not be sent has left behind.
  if (isHttp2(response)) for (const name of response.getHeaderNames()) response.removeHeader(name);
  response.writeHead(status, fieldLines);
  if (body === undefined) response.end();
  else response.end(body);
  if (response.writableLength > 0) cutWhenIdle(response, idleTimeoutMs);
}

/** Cuts a client off that takes nothing of what waits for it for so long. */
function cutWhenIdle(response: ClientResponse, idleTimeoutMs: number): void {
  response.on("timeout", () => {
    // Where nothing waits for the client, it is the workload that takes its time.
    if (response.writableLength > 0) cutOff(response);
    else response.setTimeout(idleTimeoutMs);
  });
  response.setTimeout(idleTimeoutMs);
}

/** Ends an answer in the middle, so that it never looks complete. */
export function cutOff(response: ClientResponse): void {
  if (isHttp2(response)) {
    // Without an error, the stream would end as if nothing were wrong.
    response.destroy(departure());
    return;
  }
  const { req, socket } = response as ServerResponse;
  // An answer to HTTP/1.0 ends with the connection, so that the connection has to end in another way.
  if (req.httpVersion === "1.0" && socket !== null) breakConnection(socket);
  else response.destroy();
}

function isCutOff(response: ClientResponse): boolean {
  return isHttp2(response) ? response.stream.destroyed : (response as ServerResponse).destroyed;
}

function sendInterim(response: ClientResponse, status: number, fieldLines: FieldLines): void {
  if (response.headersSent) return;
  const headers = toHeaderObject(fieldLines);
  if (isHttp2(response)) {
    response.stream.additionalHeaders({ ":status": status, ...headers });
    return;
  }
  // HTTP/1.0 knows none (RFC 9110 §15.2).
  const http1 = response as ServerResponse;
  if (http1.req.httpVersion === "1.1") http1.writeInformation(status, headers);
}

export function isHttp2(response: ClientResponse): response is Http2ServerResponse {
  return "stream" in response;
}

function toHeaderObject(fieldLines: FieldLines): OutgoingHttpHeaders {
  const headers = Object.create(null) as Record<string, string[]>;
  for (let index = 0; index < fieldLines.length; index += 2) {
    (headers[(fieldLines[index] ?? "").toLowerCase()] ??= []).push(fieldLines[index + 1] ?? "");
  }
  return headers;
}
