import type { IncomingHttpHeaders } from "node:http";
import type { FieldLines } from "./field-lines.ts";

/** A request as the workload gets it, before the hop's own fields are taken out. */
export interface ClearRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly fieldLines: FieldLines;
  /** Empty if there is none. */
  readonly body: Buffer;
}

/** An answer of the workload. */
export interface WorkloadAnswer {
  readonly status: number;
  /** Without `content-length`, except where there is no body to count. */
  readonly fieldLines: FieldLines;
  /** Absent where HTTP has none: for HEAD, and for statuses 204, 205 and 304. */
  readonly body: Buffer | undefined;
}

/** What goes back to the client; shaped like the answer that it was made of. */
export type Reply = WorkloadAnswer;

/** Unwraps one RSA-wrapped value; fails as `KeyProvider.unwrap` does. */
export type Unwrap = (wrapped: Uint8Array) => Promise<Uint8Array>;

/** One request and its response under one wire format. */
export interface Exchange {
  /**
   * The request inside of the one that came.
   *
   * Rejects with ENVELOPE_MALFORMED, ENVELOPE_OPEN_FAILED, REQUEST_INVALID, or as `unwrap` does.
   */
  open(received: ClearRequest, unwrap: Unwrap): Promise<ClearRequest>;
  /** @throws {PolarisError} WORKLOAD_RESPONSE_INVALID for an answer that the format cannot carry */
  seal(answer: WorkloadAnswer): Reply;
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
