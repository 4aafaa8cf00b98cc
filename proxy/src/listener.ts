import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createSecureServer } from "node:http2";
import type { Http2SecureServer, Http2Session, ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { ClientRequest } from "./received-request.ts";
import type { ClientResponse } from "./client-answer.ts";
import type { ProxyLimits } from "./environment.ts";
import { endConnection } from "./last-bytes.ts";
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

/** Fields of one request of HTTP/2; the limit in bytes comes first. */
const MAX_FIELDS = 4096;

/** What a client of HTTP/2 may send before it hears from us: with the 64 KiB of the standard, uploads wait for the network. */
const WINDOW_BYTES = 1024 * 1024;

/** What the listener hands on. */
export interface ListenerEvents {
  /** @param isExcess  the request came on a connection beyond the limit */
  request(request: ClientRequest, response: ClientResponse, isExcess: boolean): void;
  /** Whether a request for another protocol gets to {@link upgrade}; otherwise it gets to {@link request}. */
  takesUpgrade(request: IncomingMessage): boolean;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Bytes that are no request, on a connection that can still be answered. @returns the whole answer */
  refusal(error: NodeJS.ErrnoException): string;
  /** Bytes that are not what a body must be, in the middle of it. */
  brokenBody(request: IncomingMessage, error: NodeJS.ErrnoException): void;
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

/** A connection of a client that can be answered. */
interface Connection {
  /** Beyond the limit: whatever it asks for, the answer says so. */
  readonly isExcess: boolean;
  /** The last response of HTTP/1 on it: what the parser refuses belongs to its request, or comes behind it. */
  latest: ServerResponse | undefined;
  /** Bytes came that are no request. */
  isRefused: boolean;
}

export function createListener(
  limits: ProxyLimits,
  tls: TlsIdentity | undefined,
  events: ListenerEvents,
): Listener {
  /** TCP connections, also those that are still to speak TLS. */
  const accepted = new Set<Socket>();
  const open = new Map<Duplex, Connection>();
  const sessions = new Set<ServerHttp2Session>();
  const excessSessions = new WeakSet<Http2Session>();

  const http1 = {
    maxHeaderSize: limits.maxHeaderBytes,
    // Node would leave out the fields above its limit without a word; the limit in bytes is enough of one.
    maxHeadersCount: 0,
    // Answered as every other bad request is, and not by Node.
    requireHostHeader: false,
    headersTimeout: limits.headersTimeoutMs,
    // Bodies have limits of their own: a long one in the clear takes as long as it takes.
    requestTimeout: 0,
    connectionsCheckingInterval: Math.min(CONNECTION_CHECK_MS, limits.headersTimeoutMs),
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    // A request that announces no body is never read from: without a stream's events it costs a tenth less.
    optimizeEmptyRequests: true,
    shouldUpgradeCallback: (request: IncomingMessage) =>
      open.get(request.socket)?.isExcess !== true && events.takesUpgrade(request),
  };
  const server =
    tls === undefined
      ? createServer(http1)
      : createSecureServer({
          ...tlsServerOptions(tls),
          handshakeTimeout: limits.headersTimeoutMs,
          allowHTTP1: true,
          maxSessionMemory: 10,
          maxHeaderListPairs: MAX_FIELDS,
          // A workload may send a field twice of which there should be one; that is not for a proxy to judge.
          strictSingleValueFields: false,
          settings: {
            maxConcurrentStreams: MAX_STREAMS,
            maxHeaderListSize: limits.maxHeaderBytes,
            initialWindowSize: WINDOW_BYTES,
          },
        });
  // A server of HTTP/2 takes most of this as properties only, and a plain one some of it.
  Object.assign(server, http1);

  function answer(request: ClientRequest, response: ClientResponse): void {
    if ("stream" in request) {
      const { session } = request.stream;
      const isExcess = session !== undefined && excessSessions.has(session);
      if (isExcess) response.on("close", () => session.close());
      events.request(request, response, isExcess);
    } else {
      const connection = open.get(request.socket);
      if (connection !== undefined) connection.latest = response as ServerResponse;
      events.request(request, response, connection?.isExcess === true);
    }
  }
  server.on("request", answer);
  // An expectation that is not known may be passed over (RFC 9110 §10.1.1); Node would answer by itself, without a trace.
  server.on("checkExpectation", answer);
  server.on("connect", (request: ClientRequest, other: Duplex | ClientResponse, head: Buffer) => {
    if ("stream" in request) answer(request, other as ClientResponse);
    else events.upgrade(request, other as Duplex, head);
  });
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    events.upgrade(request, socket, head);
  });

  server.on("connection", (socket: Socket) => {
    accepted.add(socket);
    socket.once("close", () => accepted.delete(socket));
  });
  server.on(tls === undefined ? "connection" : "secureConnection", (socket: Socket) => {
    const isExcess = open.size >= limits.maxConnections;
    open.set(socket, { isExcess, latest: undefined, isRefused: false });
    socket.once("close", () => open.delete(socket));
  });
  server.on("session", (session: ServerHttp2Session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    // What one stream does wrong has ended that stream; the session's own errors end the session.
    session.on("error", () => undefined);
    // Its connection is counted after this.
    if (open.size >= limits.maxConnections) excessSessions.add(session);
    closeWhenIdle(session, limits.headersTimeoutMs);
  });

  server.on("clientError", (error: NodeJS.ErrnoException, socket: Duplex) => {
    const connection = open.get(socket);
    // Whatever comes behind bytes that were refused is thrown away.
    if (connection?.isRefused === true) return;
    if (connection !== undefined) connection.isRefused = true;
    const response = connection?.latest;
    const isInBody = response?.req.complete === false;
    // A client that ends in the middle of a body has left; whatever else is wrong, it may be told.
    const hasLeft = error.code === "ECONNRESET" || (isInBody && error.code === "HPE_INVALID_EOF_STATE");
    if (hasLeft || !socket.writable || connection === undefined) {
      socket.destroy();
    } else if (response === undefined || (response.closed && !isInBody)) {
      refuse(socket, error);
    } else if (response.closed) {
      endConnection(socket);
    } else if (isInBody) {
      response.shouldKeepAlive = false;
      response.once("close", () => endConnection(socket));
      events.brokenBody(response.req, error);
    } else {
      response.once("close", () => refuse(socket, error));
    }
  });

  function refuse(socket: Duplex, error: NodeJS.ErrnoException): void {
    if (socket.writable) endConnection(socket, events.refusal(error));
    else socket.destroy();
  }

  server.maxConnections = limits.maxConnections + EXCESS_CONNECTIONS;

  return {
    server,
    connectionCount: () => open.size,
    async close() {
      const { promise: closed, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      for (const session of sessions) session.close();
      // Node waits for the first request of a connection that was opened in advance.
      for (const socket of accepted) if (socket.bytesRead === 0) socket.destroy();
      // A connection that was busy when the closing began is to be let go once it is idle, and nothing tells when.
      const sweep = setInterval(() => {
        if ("closeIdleConnections" in server) server.closeIdleConnections();
      }, IDLE_SWEEP_MS);
      await closed;
      clearInterval(sweep);
    },
    cut() {
      for (const socket of [...open.keys(), ...accepted]) socket.destroy();
    },
  };
}

/** Node does so for HTTP/1 alone. @param firstRequestMs  how long the first request may take */
function closeWhenIdle(session: ServerHttp2Session, firstRequestMs: number): void {
  let streamCount = 0;
  session.setTimeout(firstRequestMs);
  session.on("stream", (stream) => {
    streamCount += 1;
    session.setTimeout(KEEP_ALIVE_TIMEOUT_MS);
    stream.once("close", () => (streamCount -= 1));
  });
  session.on("timeout", () => {
    if (streamCount === 0) session.close();
  });
}
