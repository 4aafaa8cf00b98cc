import type { IncomingHttpHeaders } from "node:http";
import type { Readable } from "node:stream";
import type { FieldLines } from "./field-lines.ts";
import type { ReceivedRequest } from "./received-request.ts";

/** A request as the workload gets it, before the hop's own fields are taken out. */
export interface ClearRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly fieldLines: FieldLines;
  /** A stream if the client's body goes on as it comes, bytes if it was sealed, absent if there is none. */
  readonly body: Readable | Buffer | undefined;
}

/** The head of an answer. */
export interface AnswerHead {
  readonly status: number;
  /** Without those of the hop. */
  readonly fieldLines: FieldLines;
  /** False where HTTP has no body: for HEAD, and for statuses 204, 205 and 304. */
  readonly hasBody: boolean;
}

/** Takes an answer piece by piece: head, any number of data, end. Whoever gives it breaks off by not going on. */
export interface AnswerSink {
  /** An interim answer (1xx, but 101), of which there may be any number before the head. */
  interim(status: number, fieldLines: FieldLines): void;
  /** @throws {PolarisError} WORKLOAD_RESPONSE_INVALID for what cannot go on */
  head(head: AnswerHead): void;
  /**
   * @param resume  called once the reader has caught up
   * @returns false if the reader is behind: give no more until `resume` is called
   * @throws {PolarisError} WORKLOAD_RESPONSE_INVALID, OVERLOADED
   */
  data(chunk: Buffer, resume: () => void): boolean;
  /** @param trailers  without those of the hop */
  end(trailers: FieldLines): void;
}

/** What a format needs of the proxy. */
export interface Means {
  /** Unwraps one RSA-wrapped value; fails as `KeyProvider.unwrap` does. */
  unwrap(wrapped: Uint8Array, keyId: string | undefined): Promise<Uint8Array>;
  /** The whole body of the request; fails as `BodyShare.readBody` does. */
  readBody(body: Readable): Promise<Buffer>;
  /** Counts bytes of the answer that have to be held. @throws {PolarisError} OVERLOADED */
  take(byteCount: number): void;
}

/** One request and its answer under one wire format. */
export interface Exchange {
  /**
   * The request inside of the one that came.
   *
   * Rejects with ENVELOPE_MALFORMED, ENVELOPE_OPEN_FAILED, REQUEST_INVALID, or as the means do.
   */
  open(received: ReceivedRequest, means: Means): Promise<ClearRequest>;
  /** Takes the workload's answer, and gives `client` the one to send. */
  seal(client: AnswerSink, means: Means): AnswerSink;
  /** Nothing is sealed in either direction: every byte is passed on as it is, also in another protocol. */
  readonly isClear: boolean;
}

/** How sealed messages travel over HTTP: the one part of the proxy that knows. */
export interface WireFormat {
  /**
   * Decides from the headers alone what is sealed in this exchange, and refuses what may not be: before a body is read.
   *
   * @throws {PolarisError} ENCRYPTION_REQUIRED, ENCRYPTION_OFF, PUBLIC_KEY_INVALID
   */
  admit(headers: IncomingHttpHeaders): Exchange;
}
