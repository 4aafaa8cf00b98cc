import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { STATUS_CODES, createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { ERROR_HEADER, PROBLEM_MEDIA_TYPE } from "@polaris-cvm/sdk/headers";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { ProxySettings } from "./environment.ts";
import { createWorkload } from "./forward.ts";
import { handleRequest } from "./handle-request.ts";
import type { Traffic } from "./handle-request.ts";
import type { KeyProvider } from "./keys/key-provider.ts";
import { describeFailure } from "./log.ts";
import type { ProxyLog } from "./log.ts";
import { describeProblem, sendProblem } from "./problem.ts";
import type { Problem } from "./problem.ts";
import { SYSTEM_METHODS, handleSystemRequest, isProbeTarget, isSystemTarget } from "./system-routes.ts";
import { createWireV1 } from "./wire-v1.ts";

/** A minimal sealed request has 9.5 KB of headers; Node's own limit is 16 KiB. */
const MAX_HEADER_BYTES = 64 * 1024;
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 120_000;
const CONNECTION_CHECK_MS = 5_000;

/** Longer than the minute after which load balancers let go of an idle connection: so it is never us who cut it. */
const KEEP_ALIVE_TIMEOUT_MS = 65_000;

/** Longest that requests in flight hold up the end of the proxy. */
const CLOSE_DEADLINE_MS = 10_000;

export interface ProxyOptions {
  readonly settings: ProxySettings;
  readonly keys: KeyProvider;
  readonly log: ProxyLog;
  readonly nowMs?: () => number;
}

export interface Proxy {
  /** Begins to listen. Resolves with the port; rejects with Node's error if it cannot have it. */
  listen(): Promise<number>;
  /** Takes no new connections, finishes the requests in flight, lets go of workload and key. */
  close(): Promise<void>;
}

/** Puts a proxy together; nothing listens yet. */
export function createProxy({ settings, keys, log, nowMs = Date.now }: ProxyOptions): Proxy {
  const workload = createWorkload(settings);
  const { stack, tokenAgentSocket, maxBodyBytes } = settings;
  const proxyContext = { wire: createWireV1(settings), keys, workload, maxBodyBytes };
  const systemContext = { stack, tokenAgentSocket, keys, workload, nowMs };
  let closing: Promise<void> | undefined;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedMs = performance.now();
    const requestId = randomUUID();
    const gone = new AbortController();
    const traffic: Traffic = { bytesIn: 0, bytesOut: 0 };
    response.on("close", () => {
      if (!response.writableFinished) gone.abort(new Error("the client went away"));
      if (closing !== undefined) server.closeIdleConnections();
    });

    const target = request.url ?? "";
    let failure: unknown;
    try {
      if (isSystemTarget(target)) {
        traffic.bytesOut = await handleSystemRequest(systemContext, request, response, gone.signal);
      } else {
        await handleRequest(proxyContext, request, response, gone.signal, traffic);
      }
    } catch (error) {
      failure = error;
    }

    const facts = {
      requestId,
      method: request.method ?? "",
      durationMs: Math.round((performance.now() - startedMs) * 10) / 10,
      ...traffic,
    };
    if (gone.signal.aborted) {
      log.info({ event: "request-given-up", ...facts });
    } else if (failure === undefined) {
      const write = isProbeTarget(target) ? log.debug : log.info;
      write({ event: "request", status: response.statusCode, ...facts });
    } else {
      const problem = describeProblem(failure, requestId);
      if (response.headersSent) response.destroy();
      else sendProblem(response, problem, problem.code === "METHOD_NOT_ALLOWED" ? SYSTEM_METHODS : undefined);
      logProblem(problem, failure, facts);
    }
  }

  function logProblem({ status, code }: Problem, failure: unknown, facts: { requestId: string }): void {
    const line = { event: "request", status, code, ...facts };
    if (status < 500) log.warn(line);
    else log.error({ ...line, reason: describeFailure(failure) });
  }

  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: CONNECTION_CHECK_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    },
    (request, response) => void answer(request, response),
  );
  // Node would leave out the fields above its limit without a word; the limit in bytes is enough of one.
  server.maxHeadersCount = 0;
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    refuseConnection(error, socket as Socket, log);
  });

  return {
    async listen() {
      server.listen({ port: settings.port, host: settings.host });
      await once(server, "listening");
      return (server.address() as AddressInfo).port;
    },
    close: () => (closing ??= close()),
  };

  async function close(): Promise<void> {
    if (server.listening) await closeServer(server);
    await workload.close();
    keys.close();
  }
}

/** Statuses for what Node's parser refuses before there is a request. */
const PARSER_STATUSES: Readonly<Record<string, 408 | 431>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 408,
  HPE_HEADER_OVERFLOW: 431,
};

/** Answers on a connection whose bytes are no request, and ends it. */
function refuseConnection(error: NodeJS.ErrnoException, socket: Socket, log: ProxyLog): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const requestId = randomUUID();
  const refusal = new PolarisError("REQUEST_INVALID", "what came is not a request that this proxy reads", {
    cause: error,
  });
  const { status, code, body } = describeProblem(refusal, requestId, PARSER_STATUSES[error.code ?? ""]);
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nconnection: close\r\ncontent-type: ${PROBLEM_MEDIA_TYPE}\r\n` +
      `${ERROR_HEADER}: ${code}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  log.warn({ event: "request", requestId, status, code });
}

async function closeServer(server: Server): Promise<void> {
  const deadline = setTimeout(() => server.closeAllConnections(), CLOSE_DEADLINE_MS);
  const closed = once(server, "close");
  server.close();
  await closed;
  clearTimeout(deadline);
}
