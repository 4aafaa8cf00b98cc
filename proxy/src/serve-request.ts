import { randomUUID } from "node:crypto";
import type { ServerResponse } from "node:http";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { isHttp2 } from "./client-answer.ts";
import type { ClientResponse } from "./client-answer.ts";
import { ClientPresence } from "./client-presence.ts";
import type { Cors } from "./cors.ts";
import type { ProxyLimits } from "./environment.ts";
import { handleRequest } from "./handle-request.ts";
import type { Answering, ProxyContext } from "./handle-request.ts";
import { describeFailure } from "./log.ts";
import type { LogFields, ProxyLog } from "./log.ts";
import type { ProxyMetrics } from "./metrics.ts";
import { describeProblem, sendProblem } from "./problem.ts";
import type { Problem } from "./problem.ts";
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
  ended(method: string, outcome: Outcome): void;
}

/** `status`: what the client got. `failure`: why, if it is an error. `hasLeft`: the client did not wait for it. */
export interface Outcome {
  readonly status: number;
  readonly failure?: { readonly problem: Problem; readonly error: unknown };
  readonly hasLeft?: boolean;
  readonly isProbe?: boolean;
  readonly traceId?: string | undefined;
}

export function createServing(context: ServingContext): Serving {
  const { log, metrics, limits } = context;
  let requestCount = 0;

  function begin(): Running {
    const startedMs = performance.now();
    const requestId = randomUUID();
    const traffic: Traffic = { bytesIn: 0, bytesOut: 0 };
    requestCount += 1;
    return {
      requestId,
      traffic,
      ended(method, outcome) {
        requestCount -= 1;
        const durationMs = Math.round((performance.now() - startedMs) * 10) / 10;
        metrics?.requestEnded(outcome.status, outcome.failure?.problem.code, durationMs, traffic);
        logOutcome(log, outcome, { requestId, method, durationMs, ...traffic });
      },
    };
  }

  async function route(received: ReceivedRequest, answering: Answering, isExcess: boolean): Promise<void> {
    const isSystem = isSystemTarget(received.target);
    if (isExcess) throw new PolarisError("OVERLOADED", "more connections than the limit");
    if (requestCount > limits.maxRequests && !isSystem) {
      throw new PolarisError("OVERLOADED", "more requests at the same time than the limit");
    }
    const preflight = context.cors.preflightLines(received.method, received.headers);
    if (preflight !== undefined) {
      answering.response.writeHead(204, preflight);
      answering.response.end();
    } else if (isSystem) {
      await handleSystemRequest(context.system, received, answering);
    } else {
      await handleRequest(context.proxy, received, answering);
    }
  }

  return {
    begin,
    requestCount: () => requestCount,
    async serve(request, response, isExcess) {
      const running = begin();
      const client = new ClientPresence();
      response.once("close", () => {
        if (!isFinished(response)) client.leave();
      });
      const received = readReceived(request);
      const ownLines = context.cors.answerLines(received.headers);
      const facts = { isProbe: isProbeTarget(received.target), traceId: readTraceId(received.headers) };
      try {
        await route(received, { response, ownLines, client, traffic: running.traffic }, isExcess);
        running.ended(received.method, { status: response.statusCode, hasLeft: client.hasLeft, ...facts });
      } catch (error) {
        const problem = describeProblem(error, running.requestId);
        if (client.hasLeft || response.headersSent) {
          response.destroy();
        } else {
          const lastLines = isExcess && !isHttp2(response) ? ["connection", "close"] : [];
          sendProblem(response, problem, [...ownLines, ...lastLines]);
          discardRest(request, limits.bodyTimeoutMs);
        }
        const failure = { problem, error };
        running.ended(received.method, {
          status: problem.status,
          failure,
          hasLeft: client.hasLeft,
          ...facts,
        });
      }
    },
  };
}

/** True once the whole answer is on its way. */
function isFinished(response: ClientResponse): boolean {
  return isHttp2(response)
    ? response.stream.writableFinished
    : (response as ServerResponse).writableFinished;
}

/** Reads what a refused client still sends, so that it gets to the answer, but not for ever. */
function discardRest(request: ClientRequest, longestMs: number): void {
  if (request.complete) return;
  const timer = setTimeout(() => request.destroy(), longestMs);
  request.once("close", () => clearTimeout(timer));
  request.resume();
}

type RequestFacts = Required<Pick<LogFields, "requestId" | "method" | "durationMs" | "bytesIn" | "bytesOut">>;

function logOutcome(log: ProxyLog, outcome: Outcome, facts: RequestFacts): void {
  const { status, failure, hasLeft, isProbe, traceId } = outcome;
  const trace = traceId === undefined ? {} : { traceId };
  if (hasLeft === true) {
    log.info({ event: "request-given-up", ...facts, ...trace });
  } else if (failure === undefined) {
    const write = isProbe === true ? log.debug : log.info;
    write({ event: "request", status, ...facts, ...trace });
  } else if (status < 500) {
    log.warn({ event: "request", status, code: failure.problem.code, ...facts, ...trace });
  } else {
    const { problem, error } = failure;
    log.error({
      event: "request",
      status,
      code: problem.code,
      ...facts,
      ...trace,
      reason: describeFailure(error),
    });
  }
}
