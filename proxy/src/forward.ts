import { PolarisError } from "@polaris-cvm/sdk/errors";
import { SYSTEM_PATH_PREFIX } from "@polaris-cvm/sdk/headers";
import { Pool } from "undici";
import type { Dispatcher } from "undici";
import type { ProxySettings } from "./environment.ts";
import { listFieldValues, selectForwardable, withoutFields } from "./field-lines.ts";
import { collectAnswer } from "./workload-answer.ts";
import type { ClearRequest, WorkloadAnswer } from "./wire-format.ts";
import { probeWorkload } from "./workload-probe.ts";

/** Requests that the workload gets at the same time; more wait for their turn. */
const MAX_CONNECTIONS = 256;
const CONNECT_TIMEOUT_MS = 5_000;
const MAX_RESPONSE_HEADER_BYTES = 64 * 1024;

/** The one connection pool to the workload. */
export interface Workload {
  /**
   * Sends one request and reads the whole answer.
   *
   * @param peerAddress  address that the request came from
   *
   * Rejects with REQUEST_INVALID, ROUTE_NOT_FOUND, WORKLOAD_UNREACHABLE, WORKLOAD_TIMEOUT or WORKLOAD_RESPONSE_INVALID.
   */
  forward(request: ClearRequest, peerAddress: string, signal: AbortSignal): Promise<WorkloadAnswer>;
  /** Resolves if the workload is ready for requests; rejects with WORKLOAD_UNREACHABLE. */
  probe(signal: AbortSignal): Promise<void>;
  /** Waits for requests in flight. */
  close(): Promise<void>;
}

export function createWorkload(
  settings: Pick<ProxySettings, "workload" | "maxBodyBytes" | "headerNames">,
): Workload {
  const { url, timeoutMs } = settings.workload;
  const pool = new Pool(url, {
    connections: MAX_CONNECTIONS,
    connectTimeout: Math.min(CONNECT_TIMEOUT_MS, timeoutMs),
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    maxHeaderSize: MAX_RESPONSE_HEADER_BYTES,
  });
  // `host` and `content-length` are set anew for this hop; `expect` has been answered by this one.
  const requestOnly = new Set([...Object.values(settings.headerNames), "host", "content-length", "expect"]);

  return {
    async forward(request, peerAddress, signal) {
      checkMethod(request.method);
      checkTarget(request.target);
      const options: Dispatcher.DispatchOptions = {
        method: request.method,
        path: request.target,
        headers: appendForwardedFor(selectForwardable(request.fieldLines, requestOnly), peerAddress),
        body: request.body.length === 0 ? null : request.body,
      };
      return await collectAnswer(pool, options, settings.maxBodyBytes, signal);
    },
    probe: (signal) => probeWorkload(pool, settings.workload, signal),
    close: () => pool.close(),
  };
}

/**
 * TRACE answers with the headers that came. The method travels in the clear in wire v1, so that anybody on the way could
 * ask for the opened headers of somebody else's sealed request.
 */
function checkMethod(method: string): void {
  if (method === "TRACE") throw new PolarisError("REQUEST_INVALID", "TRACE is not forwarded");
}

/**
 * A target must be a path on the workload: not a whole URL, nothing that some reader takes for the name of a host, no
 * characters that end a request line, and none of the proxy's own paths, which are not the workload's to answer.
 *
 * @throws {PolarisError} REQUEST_INVALID, ROUTE_NOT_FOUND
 */
function checkTarget(target: string): void {
  if (!/^\/(?![/\\])[\x21\x22\x24-\x7e]*$/.test(target)) {
    throw new PolarisError(
      "REQUEST_INVALID",
      "URL must be a path that begins with one slash, without blanks or fragment",
    );
  }
  if (target.startsWith(SYSTEM_PATH_PREFIX)) {
    throw new PolarisError("ROUTE_NOT_FOUND", `paths below ${SYSTEM_PATH_PREFIX} are not the workload's`);
  }
}

const FORWARDED_FOR = "x-forwarded-for";
const FORWARDED_FOR_ONLY = new Set([FORWARDED_FOR]);

/** Only the last address in the list is our word; those before it are what the client says. */
function appendForwardedFor(fieldLines: string[], peerAddress: string): string[] {
  const claimed = listFieldValues(fieldLines, FORWARDED_FOR);
  const peer = peerAddress.replace(/^::ffff:(?=\d+\.)/, "");
  if (claimed.length === 0) {
    fieldLines.push(FORWARDED_FOR, peer);
    return fieldLines;
  }
  return [...withoutFields(fieldLines, FORWARDED_FOR_ONLY), FORWARDED_FOR, [...claimed, peer].join(", ")];
}
