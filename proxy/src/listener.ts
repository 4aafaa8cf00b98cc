import { STATUS_CODES, createServer } from "node:http";
import type { IncomingMessage, Server } from "node:http";
import { createSecureServer } from "node:http2";
import type { Http2SecureServer, ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { ClientRequest } from "./received-request.ts";
import type { ClientResponse } from "./client-answer.ts";
import type { ProxyLimits } from "./environment.ts";
import type { TlsIdentity } from "./tls-identity.ts";
import { tlsServerOptions } from "./tls-identity.ts";

const CONNECTION_CHECK_MS = 5_000;

/** Longer than the minute after which load balancers let go of an idle connection: so it is never us who cut it. */
const KEEP_ALIVE_TIMEOUT_MS = 65_000;

/** Connections beyond the limit that still get an answer, which says so; those beyond are cut without one. */
const EXCESS_CONNECTIONS = 64;

/** Between two looks for connections that have become idle while the proxy closes. */
const IDLE_SWEEP_MS = 50;

/** Requests at the same time on one connection of HTTP/2. */
const MAX_STREAMS = 256;

/** What the listener hands on. */
export interface ListenerEvents {
  /** @param isExcess  the request came on a connection beyond the limit */
  request(request: ClientRequest, response: ClientResponse, isExcess: boolean): void;
  /** Whether a request for another protocol gets to {@link upgrade}; otherwise it gets to {@link request}. */
  takesUpgrade(request: IncomingMessage): boolean;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Bytes that are no request, on a connection that can still be answered. @returns the whole answer */
  refusal(error: NodeJS.ErrnoException): string;
}

/** The proxy's port: HTTP/1.1, or TLS with HTTP/1.1 and HTTP/2 behind it. */
export interface Listener {
  readonly server: Server | Http2SecureServer;
  readonly connectionCount: () => number;
  /** Takes no new connections and lets the idle ones go; resolves when the last one is gone. */
  close(): Promise<void>;
  /** Cuts every connection. */
  cut(): void;
}

export function createListener(
  limits: ProxyLimits,
  tls: TlsIdentity | undefined,
  events: ListenerEvents,
): Listener {
  const open = new Set<Duplex>();
  const excess = new WeakSet<Duplex>();
  const sessions = new Set<ServerHttp2Session>();

  const options = {
    maxHeaderSize: limits.maxHeaderBytes,
    headersTimeout: limits.headersTimeoutMs,
    // Bodies have limits of their own: a long one in the clear takes as long as it takes.
    requestTimeout: 0,
    connectionsCheckingInterval: Math.min(CONNECTION_CHECK_MS, limits.headersTimeoutMs),
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    shouldUpgradeCallback: (request: IncomingMessage) =>
      !excess.has(request.socket) && events.takesUpgrade(request),
  };
  const server =
    tls === undefined
      ? createServer(options)
      : createSecureServer({
          ...options,
          ...tlsServerOptions(tls),
          allowHTTP1: true,
          maxSessionMemory: 10,
          settings: { maxConcurrentStreams: MAX_STREAMS, maxHeaderListSize: limits.maxHeaderBytes },
        });

  function answer(request: ClientRequest, response: ClientResponse): void {
    events.request(request, response, "stream" in request ? false : excess.has(request.socket));
  }
  server.on("request", answer);
  // An expectation that is not known may be passed over (RFC 9110 §10.1.1); Node would answer by itself, without a trace.
  server.on("checkExpectation", answer);
  server.on("connect", (request: ClientRequest, socket: Duplex | ClientResponse, head: Buffer) => {
    if ("stream" in request) answer(request, socket as ClientResponse);
    else events.upgrade(request, socket as Duplex, head);
  });
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    events.upgrade(request, socket, head);
  });
  server.on(tls === undefined ? "connection" : "secureConnection", (socket: Socket) => {
    open.add(socket);
    if (open.size > limits.maxConnections) excess.add(socket);
    socket.once("close", () => open.delete(socket));
  });
  server.on("session", (session: ServerHttp2Session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    // What one stream does wrong has ended that stream; the session's own errors end the session.
    session.on("error", () => undefined);
    if (open.size > limits.maxConnections) session.destroy();
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Duplex) => {
    if (error.code === "ECONNRESET" || !socket.writable) socket.destroy();
    else socket.end(events.refusal(error));
  });
  server.maxConnections = limits.maxConnections + EXCESS_CONNECTIONS;
  // Node would leave out the fields above its limit without a word; the limit in bytes is enough of one.
  if ("maxHeadersCount" in server) server.maxHeadersCount = 0;

  return {
    server,
    connectionCount: () => open.size,
    async close() {
      const { promise: closed, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      for (const session of sessions) session.close();
      // A connection that was busy when the closing began is to be let go once it is idle, and nothing tells when.
      const sweep = setInterval(() => {
        if ("closeIdleConnections" in server) server.closeIdleConnections();
      }, IDLE_SWEEP_MS);
      await closed;
      clearInterval(sweep);
    },
    cut() {
      for (const socket of open) socket.destroy();
    },
  };
}

/** The text of a whole HTTP/1.1 answer after which the connection ends. */
export function formatLastAnswer(status: number, fieldLines: readonly string[], body: string): string {
  const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`];
  for (let index = 0; index < fieldLines.length; index += 2) {
    lines.push(`${fieldLines[index]}: ${fieldLines[index + 1]}`);
  }
  return `${lines.join("\r\n")}\r\nconnection: close\r\n\r\n${body}`;
}
