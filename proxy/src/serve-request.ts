import { randomUUID } from "node:crypto";
import type { ServerResponse } from "node:http";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { cutOff, isHttp2, sendWhole } from "./client-answer.ts";
import type { ClientResponse } from "./client-answer.ts";
import { ClientPresence } from "./client-presence.ts";
import type { Cors } from "./cors.ts";
import type { ProxyLimits } from "./environment.ts";
import { handleRequest } from "./handle-request.ts";
import type { ProxyContext } from "./handle-request.ts";
import { describeFailure } from "./log.ts";
import type { LineLevel, ProxyLog } from "./log.ts";
import type { ProxyMetrics } from "./metrics.ts";
import { describeProblem, sendProblem } from "./problem.ts";
import type { Problem } from "./problem.ts";
import { discardRest } from "./request-body.ts";
import { checkFraming } from "./request-framing.ts";
import { readReceived } from "./received-request.ts";
import type { ClientRequest, ReceivedRequest } from "./received-request.ts";
import { handleSystemRequest, isHealthTarget, isProbeTarget, isSystemTarget } from "./system-routes.ts";
import type { SystemContext } from "./system-routes.ts";
import { readTraceId } from "./trace-context.ts";
import type { Traffic } from "./traffic.ts";

/** Requests for the proxy's own documents at the same time: many more than clients and load balancers have need of. */
const MAX_OWN_REQUESTS = 64;

export interface ServingContext {
  readonly proxy: ProxyContext;
  readonly system: SystemContext;
  readonly cors: Cors;
  readonly limits: Pick<ProxyLimits, "maxRequests" | "bodyTimeoutMs" | "idleTimeoutMs">;
  readonly log: ProxyLog;
  readonly metrics: ProxyMetrics | undefined;
}

/** The frame around every request: admits it, sends it its way, and says in one line how it ended. */
export interface Serving {
  /** Never rejects. @param isExcess  it came on a connection beyond the limit */
  serve(request: ClientRequest, response: ClientResponse, isExcess: boolean): Promise<void>;
  /** A request has come; whatever becomes of it has to be told by {@link Running.ended}. */
  begin(place: Place): Running;
  readonly requestCount: () => number;
}

/**
 * Whose answers a request waits for: each has places of its own, so that none takes those of another. `own`: the proxy's
 * documents, for which it asks the token agent, the key service and the workload.
 */
export type Place = "workload" | "own";

export interface Running {
  readonly requestId: string;
  readonly traffic: Traffic;
  /** @throws {PolarisError} OVERLOADED if there is no place for it */
  admit(): void;
  /** Gives the place back and writes the log line. To be called once. */
  ended(received: ReceivedRequest, outcome: Outcome): void;
}

export interface Outcome {
  /** What the client got, or would have got if it had waited. */
  readonly status: number;
  readonly hasLeft: boolean;
  /** Why, if the answer is an error of the proxy. */
  readonly failure?: { readonly problem: Problem; readonly error: unknown };
}

export function createServing(context: ServingContext): Serving {
  const { log, metrics, limits, cors } = context;
  const placeCounts: Readonly<Record<Place, number>> = {
    workload: limits.maxRequests,
    own: MAX_OWN_REQUESTS,
  };
  const runningCounts: Record<Place, number> = { workload: 0, own: 0 };

  function begin(place: Place): Running {
    const startedMs = performance.now();
    const requestId = randomUUID();
    const traffic: Traffic = { bytesIn: 0, bytesOut: 0 };
    runningCounts[place] += 1;
    return {
      requestId,
      traffic,
      admit() {
        if (runningCounts[place] > placeCounts[place]) {
          throw new PolarisError("OVERLOADED", `more than ${placeCounts[place]} requests at the same time`);
        }
      },
      ended(received, outcome) {
        runningCounts[place] -= 1;
        const durationMs = Math.round((performance.now() - startedMs) * 10) / 10;
        metrics?.requestEnded(outcome.status, outcome.failure?.problem.code, durationMs, traffic);
        logOutcome(log, received, outcome, requestId, durationMs, traffic);
      },
    };
  }

  return {
    begin,
    requestCount: () => runningCounts.workload + runningCounts.own,
    async serve(request, response, isExcess) {
      const received = readReceived(request);
      const isOwn = isSystemTarget(received.target);
      const running = begin(isOwn ? "own" : "workload");
      const client = new ClientPresence();
      response.on("close", () => {
        if (!isFinished(response)) client.leave();
      });
      const ownLines = cors.answerLines(received.headers);
      const { traffic } = running;
      const { peerAddress } = received;
      const answering = { response, ownLines, client, peerAddress, traffic };
      let isLast = isExcess;
      try {
        if (isExcess) throw new PolarisError("OVERLOADED", "more connections than the limit");
        // Where a request is not framed as HTTP wants it, nobody knows where the next one begins (RFC 9112 §6.3).
        isLast = true;
        checkFraming(request);
        isLast = false;
        if (!isHealthTarget(received.target)) running.admit();
        const preflight = cors.preflightLines(received.method, received.headers);
        if (preflight !== undefined) sendWhole(response, 204, preflight, undefined, limits.idleTimeoutMs);
        else if (isOwn) await handleSystemRequest(context.system, received, answering);
        else await handleRequest(context.proxy, received, answering);
        running.ended(received, { status: response.statusCode, hasLeft: client.hasLeft });
      } catch (error) {
        const problem = describeProblem(error, running.requestId);
        const lastLines = isLast && !isHttp2(response) ? ["connection", "close"] : [];
        if (client.hasLeft || response.headersSent) cutOff(response);
        else sendProblem(response, problem, [...ownLines, ...lastLines], limits.idleTimeoutMs);
        const failure = { problem, error };
        running.ended(received, { status: problem.status, hasLeft: client.hasLeft, failure });
      }
      if (received.body !== undefined) discardRest(request, limits.bodyTimeoutMs);
    },
  };
}

/** True once the whole answer is on its way. */
function isFinished(response: ClientResponse): boolean {
  // A stream of HTTP/2 that a client cancels is finished as well.
  return isHttp2(response) ? response.writableEnded : (response as ServerResponse).writableFinished;
}

function logOutcome(
  log: ProxyLog,
  { method, target, headers }: ReceivedRequest,
  { status, hasLeft, failure }: Outcome,
  requestId: string,
  durationMs: number,
  { bytesIn, bytesOut }: Traffic,
): void {
  const level = hasLeft ? "info" : chooseLevel(target, status, failure !== undefined);
  // One literal and no spread: this happens for every request, and adding fields one by one takes many times as long.
  log[level]({
    event: hasLeft ? "request-given-up" : "request",
    requestId,
    traceId: readTraceId(headers),
    method,
    status: hasLeft ? undefined : status,
    durationMs,
    bytesIn,
    bytesOut,
    code: hasLeft ? undefined : failure?.problem.code,
    reason: level === "error" ? describeFailure(failure?.error) : undefined,
  });
}

function chooseLevel(target: string, status: number, hasFailed: boolean): LineLevel {
  if (hasFailed) return status < 500 ? "warn" : "error";
  return isProbeTarget(target) ? "debug" : "info";
}
