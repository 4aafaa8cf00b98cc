import type { Readable } from "node:stream";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { SYSTEM_PATH_PREFIX } from "@polaris-cvm/sdk/headers";
import { Pool } from "undici";
import type { Dispatcher } from "undici";
import type { ClientPresence } from "./client-presence.ts";
import { CORS_FIELDS } from "./cors.ts";
import type { ProxySettings } from "./environment.ts";
import { createFieldFilter, listFieldValues, withoutFields } from "./field-lines.ts";
import { readPieces } from "./request-body.ts";
import type { Traffic } from "./traffic.ts";
import type { AnswerSink, ClearRequest } from "./wire-format.ts";
import { passAnswer } from "./workload-answer.ts";
import { probeWorkload } from "./workload-probe.ts";
import { upgradeAtWorkload } from "./workload-upgrade.ts";
import type { WorkloadUpgrade } from "./workload-upgrade.ts";

const CONNECT_TIMEOUT_MS = 5_000;
const MAX_RESPONSE_HEADER_BYTES = 64 * 1024;

/** For whom a request is forwarded. */
export interface Forwarding {
  readonly client: ClientPresence;
  /** Address that the request came from. */
  readonly peerAddress: string;
  readonly traffic: Traffic;
}

/** The one connection pool to the workload. */
export interface Workload {
  /**
   * Sends one request and gives the answer to a sink, both as they come.
   *
   * @throws {PolarisError} at once: REQUEST_INVALID, ROUTE_NOT_FOUND
   * Rejects with REQUEST_TIMEOUT, WORKLOAD_UNREACHABLE, WORKLOAD_TIMEOUT, WORKLOAD_RESPONSE_INVALID, what the sink
   * throws, or because the client has left.
   */
  forward(request: ClearRequest, sink: AnswerSink, forwarding: Forwarding): Promise<void>;
  /**
   * Asks the workload for another protocol.
   *
   * @param protocol  value of `Upgrade`
   * Rejects with all that {@link forward} throws or rejects with.
   */
  upgrade(request: ClearRequest, protocol: string, forwarding: Forwarding): Promise<WorkloadUpgrade>;
  /** Resolves if the workload is ready for requests; rejects with WORKLOAD_UNREACHABLE. */
  probe(signal: AbortSignal): Promise<void>;
  /** Waits for requests in flight. */
  close(): Promise<void>;
}

export function createWorkload(
  settings: Pick<ProxySettings, "workload" | "limits" | "headerNames" | "cors">,
): Workload {
  const { url, timeoutMs } = settings.workload;
  const { idleTimeoutMs } = settings.limits;
  const pool = new Pool(url, {
    // One for each request that has a place: none waits for another one's end.
    connections: settings.limits.maxRequests,
    connectTimeout: Math.min(CONNECT_TIMEOUT_MS, timeoutMs),
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    maxHeaderSize: MAX_RESPONSE_HEADER_BYTES,
  });
  // `host` is set anew for this hop; `expect` has been answered by this one.
  const hopOnly = [...Object.values(settings.headerNames), "host", "expect"];
  const filterStreamed = createFieldFilter(hopOnly);
  const filterOpened = createFieldFilter([...hopOnly, "content-length"]);
  const filterAnswer = createFieldFilter(settings.cors.origins.length > 0 ? CORS_FIELDS : []);

  function toOptions(
    { method, target, fieldLines, body }: ClearRequest,
    { peerAddress, traffic }: Forwarding,
  ): Dispatcher.DispatchOptions {
    checkMethod(method);
    checkTarget(target);
    const isStream = body !== undefined && !Buffer.isBuffer(body);
    return {
      method,
      path: target,
      // The length of an opened body is not that of the sealed one, and is set anew.
      headers: appendForwardedFor((isStream ? filterStreamed : filterOpened)(fieldLines), peerAddress),
      // undici takes any iterable of pieces, its types do not say so.
      body: isStream ? (readPieces(body, idleTimeoutMs, traffic) as unknown as Readable) : (body ?? null),
    };
  }

  return {
    forward(request, sink, forwarding) {
      return passAnswer(pool, toOptions(request, forwarding), sink, forwarding.client, filterAnswer);
    },
    async upgrade(request, protocol, forwarding) {
      const options = { ...toOptions(request, forwarding), upgrade: protocol };
      return await upgradeAtWorkload(pool, options, forwarding.client);
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
  if (method === "TRACE" || method === "CONNECT") {
    throw new PolarisError("REQUEST_INVALID", `${method} is not forwarded`);
  }
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
  const peer = peerAddress.startsWith("::ffff:") ? peerAddress.replace(/^::ffff:(?=\d+\.)/, "") : peerAddress;
  if (claimed.length === 0) {
    fieldLines.push(FORWARDED_FOR, peer);
    return fieldLines;
  }
  return [...withoutFields(fieldLines, FORWARDED_FOR_ONLY), FORWARDED_FOR, [...claimed, peer].join(", ")];
}
