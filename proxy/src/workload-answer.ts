import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { Dispatcher } from "undici";
import { selectForwardable } from "./field-lines.ts";
import type { FieldLines } from "./field-lines.ts";
import type { WorkloadAnswer } from "./wire-format.ts";

const CONTENT_LENGTH_ONLY = new Set(["content-length"]);
const NOTHING: ReadonlySet<string> = new Set();
const BODILESS_STATUSES: ReadonlySet<number> = new Set([204, 205, 304]);

/**
 * Sends one request to the workload and reads its answer, up to a limit.
 *
 * @throws {PolarisError} WORKLOAD_UNREACHABLE, WORKLOAD_TIMEOUT, WORKLOAD_RESPONSE_INVALID
 * @throws the signal's reason once it is aborted
 */
export function collectAnswer(
  pool: Dispatcher,
  options: Dispatcher.DispatchOptions,
  maxBodyBytes: number,
  signal: AbortSignal,
): Promise<WorkloadAnswer> {
  return new Promise((resolve, reject) => {
    let head: { status: number; rawLines: FieldLines } | undefined;
    const chunks: Buffer[] = [];
    let byteCount = 0;
    let abort = (): void => undefined;

    pool.dispatch(options, {
      onRequestStart(controller) {
        abort = () => controller.abort(signal.reason);
        if (signal.aborted) abort();
        else signal.addEventListener("abort", abort);
      },
      onResponseStart(controller, status) {
        // Interim answers (1xx) are for this hop.
        if (status >= 200) head = { status, rawLines: readRawLines(controller.rawHeaders) };
      },
      onResponseData(controller, chunk) {
        byteCount += chunk.length;
        if (byteCount <= maxBodyBytes) chunks.push(chunk);
        else controller.abort(invalid(`is longer than ${maxBodyBytes} bytes`));
      },
      onResponseEnd() {
        signal.removeEventListener("abort", abort);
        if (head === undefined) reject(invalid("ended before its head"));
        else resolve(toAnswer(options.method, head.status, head.rawLines, chunks));
      },
      onResponseError(_controller, error) {
        signal.removeEventListener("abort", abort);
        reject(signal.aborted ? signal.reason : toWorkloadError(error, head !== undefined));
      },
    });
  });
}

function toAnswer(
  method: string,
  status: number,
  rawLines: FieldLines,
  chunks: readonly Buffer[],
): WorkloadAnswer {
  if (method === "HEAD" || BODILESS_STATUSES.has(status)) {
    // HEAD and 304 tell the length that GET would have; 204 and 205 must not (RFC 9110 §8.6), whatever the workload says.
    const dropped = method !== "HEAD" && status !== 304 ? CONTENT_LENGTH_ONLY : NOTHING;
    return { status, fieldLines: selectForwardable(rawLines, dropped), body: undefined };
  }
  const body = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks);
  return { status, fieldLines: selectForwardable(rawLines, CONTENT_LENGTH_ONLY), body };
}

/** undici hands the lines of HTTP/1.1 over as bytes. */
function readRawLines(rawHeaders: Dispatcher.DispatchController["rawHeaders"]): string[] {
  if (!Array.isArray(rawHeaders)) return [];
  return rawHeaders.map((part) => (typeof part === "string" ? part : part.toString("latin1")));
}

const TIMEOUT_CODES = new Set(["UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT"]);

/** Codes for no connection, or none any more: the operating system's, and undici's for the same. */
const CONNECTION_CODES = /^(E[A-Z]+|UND_ERR_SOCKET|UND_ERR_CONNECT_TIMEOUT)$/;

/** @param hasBegun  whether the head of the answer had come */
function toWorkloadError(error: unknown, hasBegun: boolean): unknown {
  if (error instanceof PolarisError) return error;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (TIMEOUT_CODES.has(code)) {
    return new PolarisError("WORKLOAD_TIMEOUT", "the workload has not answered in time", { cause: error });
  }
  if (!hasBegun && CONNECTION_CODES.test(code)) {
    return new PolarisError("WORKLOAD_UNREACHABLE", "cannot reach the workload", { cause: error });
  }
  // A request that undici does not take would be our mistake.
  if (code === "UND_ERR_INVALID_ARG") return error;
  return invalid("is broken off or is not HTTP", error);
}

function invalid(problem: string, cause?: unknown): PolarisError {
  return new PolarisError("WORKLOAD_RESPONSE_INVALID", `the workload's answer ${problem}`, { cause });
}
