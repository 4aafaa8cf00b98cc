import { randomUUID } from "node:crypto";
import type { ServerResponse } from "node:http";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { cutOff, isHttp2 } from "./client-answer.ts";
import type { ClientResponse } from "./client-answer.ts";
import { ClientPresence } from "./client-presence.ts";
import type { Cors } from "./cors.ts";
import type { FieldLines } from "./field-lines.ts";
import type { ProxyLimits } from "./environment.ts";
import { handleRequest } from "./handle-request.ts";
import type { ProxyContext } from "./handle-request.ts";
import { describeFailure } from "./log.ts";
import type { LogFields, ProxyLog } from "./log.ts";
import type { ProxyMetrics } from "./metrics.ts";
import { describeProblem, sendProblem } from "./problem.ts";
import type { Problem } from "./problem.ts";
import { discardRest } from "./request-body.ts";
import { checkFraming } from "./request-framing.ts";
import { readReceived } from "./received-request.ts";
import type { ClientRequest, ReceivedRequest } from "./received-request.ts";
import { handleSystemRequest, isProbeTarget, isSystemTarget } from "./system-routes.ts";
import type { SystemContext } from "./system-routes.ts";
import { readTraceId } from "./trace-context.ts";
import type { Traffic } from "./traffic.ts";

export interface ServingContext {
  readonly proxy: ProxyContext;
  readonly system: SystemContext;
  readonly cors: Cors;
  readonly limits: Pick<ProxyLimits, "maxRequests" | "bodyTimeoutMs">;
  readonly log: ProxyLog;
  readonly metrics: ProxyMetrics | undefined;
}

/** The frame around every request: admits it, sends it its way, and says in one line how it ended. */
export interface Serving {
  /** Never rejects. @param isExcess  it came on a connection beyond the limit */
  serve(request: ClientRequest, response: ClientResponse, isExcess: boolean): Promise<void>;
  /** Takes one of the places that requests have. @throws {PolarisError} OVERLOADED */
  begin(): Running;
  readonly requestCount: () => number;
}

/** One request that has a place. */
export interface Running {
  readonly requestId: string;
  readonly traffic: Traffic;
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
  let requestCount = 0;

  function begin(): Running {
    const startedMs = performance.now();
    const requestId = randomUUID();
    const traffic: Traffic = { bytesIn: 0, bytesOut: 0 };
    requestCount += 1;
    return {
      requestId,
      traffic,
      ended(received, outcome) {
        requestCount -= 1;
        const durationMs = Math.round((performance.now() - startedMs) * 10) / 10;
        metrics?.requestEnded(outcome.status, outcome.failure?.problem.code, durationMs, traffic);
        logOutcome(log, received, outcome, { requestId, durationMs, ...traffic });
      },
    };
  }

  /** @throws {PolarisError} OVERLOADED */
  function checkLoad(isSystem: boolean, isExcess: boolean): void {
    if (isExcess) throw new PolarisError("OVERLOADED", "more connections than the limit");
    if (requestCount > limits.maxRequests && !isSystem) {
      throw new PolarisError("OVERLOADED", "more requests at the same time than the limit");
    }
  }

  return {
    begin,
    requestCount: () => requestCount,
    async serve(request, response, isExcess) {
      const running = begin();
      const client = new ClientPresence();
      response.on("close", () => {
        if (!isFinished(response)) client.leave();
      });
      const received = readReceived(request);
      const ownLines = cors.answerLines(received.headers);
      const answering = { response, ownLines, client, traffic: running.traffic };
      try {
        const isSystem = isSystemTarget(received.target);
        checkFraming(request);
        checkLoad(isSystem, isExcess);
        const preflight = cors.preflightLines(received.method, received.headers);
        if (preflight !== undefined) answerPreflight(response, preflight);
        else if (isSystem) await handleSystemRequest(context.system, received, answering);
        else await handleRequest(context.proxy, received, answering);
        running.ended(received, { status: response.statusCode, hasLeft: client.hasLeft });
      } catch (error) {
        const problem = describeProblem(error, running.requestId);
        if (client.hasLeft || response.headersSent) {
          cutOff(response);
        } else {
          const lastLines = isExcess && !isHttp2(response) ? ["connection", "close"] : [];
          sendProblem(response, problem, [...ownLines, ...lastLines]);
        }
        const failure = { problem, error };
        running.ended(received, { status: problem.status, hasLeft: client.hasLeft, failure });
      }
      if (received.body !== undefined) discardRest(request, limits.bodyTimeoutMs);
    },
  };
}

function answerPreflight(response: ClientResponse, lines: FieldLines): void {
  response.writeHead(204, lines);
  response.end();
}

/** True once the whole answer is on its way. */
function isFinished(response: ClientResponse): boolean {
  // A stream of HTTP/2 that a client cancels is finished as well.
  return isHttp2(response) ? response.writableEnded : (response as ServerResponse).writableFinished;
}

type RunningFacts = Required<Pick<LogFields, "requestId" | "durationMs" | "bytesIn" | "bytesOut">>;

function logOutcome(
  log: ProxyLog,
  { method, target, headers }: ReceivedRequest,
  { status, hasLeft, failure }: Outcome,
  running: RunningFacts,
): void {
  const traceId = readTraceId(headers);
  const facts = { method, ...running, ...(traceId !== undefined && { traceId }) };
  if (hasLeft) {
    log.info({ event: "request-given-up", ...facts });
  } else if (failure === undefined) {
    const write = isProbeTarget(target) ? log.debug : log.info;
    write({ event: "request", status, ...facts });
  } else if (status < 500) {
    log.warn({ event: "request", status, code: failure.problem.code, ...facts });
  } else {
    const reason = describeFailure(failure.error);
    log.error({ event: "request", status, code: failure.problem.code, ...facts, reason });
  }
}
