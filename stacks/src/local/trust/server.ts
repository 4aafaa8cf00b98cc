import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { isPolarisError, PolarisError } from "@polaris-cvm/sdk/errors";
import { claimSocketPath, restrictSocket } from "./claim-socket.ts";
import { isErrno } from "./durable-file.ts";
import { googleError, Refusal } from "./google-error.ts";
import type { Log, LogFields } from "./log.ts";
import type { Route, Service, ServiceRequest, ServiceResponse } from "./service.ts";

/** Services behind one port of the loopback interface, and a Unix socket if one was named. */
export interface ServiceServer {
  readonly port: number;
  /** Starts to answer. Until then every request is answered UNAVAILABLE, and `/healthz` is not 200. */
  mount(services: readonly Service[]): void;
  /** Stops to accept, lets running requests end, and resolves when all connections are closed. */
  close(): Promise<void>;
}

export interface ServerOptions {
  /** 0: any free port. */
  readonly port: number;
  /** Where to listen too; `group` may connect besides this user. */
  readonly socket: { readonly path: string; readonly group: number | null } | null;
  readonly log: Log;
}

const MAX_BODY_BYTES = 128 * 1024;
const REQUEST_TIMEOUT_MS = 15_000;
const CLOSE_TIMEOUT_MS = 3000;

/** @throws {PolarisError} PORT_TAKEN, and as of {@link claimSocketPath} */
export async function startServer(options: ServerOptions): Promise<ServiceServer> {
  let mounted: readonly Service[] | undefined;
  const createListener = (): Server =>
    createServer(
      { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS },
      (request, response) => {
        answer(request, mounted, options.log).then(
          (result) => send(response, result),
          () => response.destroy(),
        );
      },
    );
  const overNetwork = createListener();
  await listen(overNetwork, options.port);
  const listeners = [overNetwork];
  if (options.socket !== null) {
    const overSocket = createListener();
    await listenOnSocket(overSocket, options.socket);
    listeners.push(overSocket);
  }
  return {
    port: (overNetwork.address() as AddressInfo).port,
    mount: (services) => {
      mounted = services;
    },
    close: async () => {
      await Promise.all(listeners.map(closeGracefully));
    },
  };
}

async function closeGracefully(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), CLOSE_TIMEOUT_MS);
  await closed;
  clearTimeout(timer);
}

async function listenOnSocket(
  server: Server,
  { path, group }: NonNullable<ServerOptions["socket"]>,
): Promise<void> {
  await claimSocketPath(path, group);
  server.listen({ path });
  await once(server, "listening");
  await restrictSocket(path, group);
}

async function listen(server: Server, port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject).once("listening", resolve);
  server.listen({ host: "127.0.0.1", port, exclusive: true });
  try {
    await promise;
  } catch (cause) {
    if (isErrno(cause, "EADDRINUSE") || isErrno(cause, "EACCES")) {
      throw new PolarisError("PORT_TAKEN", `port ${port} of 127.0.0.1 is in use or not allowed`, { cause });
    }
    throw cause;
  }
}

async function answer(
  incoming: IncomingMessage,
  services: readonly Service[] | undefined,
  log: Log,
): Promise<ServiceResponse> {
  const startedAt = performance.now();
  const [path = "", search = ""] = splitTarget(incoming.url ?? "");
  const method = incoming.method ?? "";
  if (method === "GET" && path === "/healthz") {
    return services === undefined ? unavailable() : { status: 200, body: { status: "ok" } };
  }
  const body = await readBody(incoming, MAX_BODY_BYTES);
  if (services === undefined) return unavailable();
  if (body === undefined) {
    return googleError("INVALID_ARGUMENT", `Request payload size exceeds the limit: ${MAX_BODY_BYTES} bytes.`)
      .response;
  }
  const request = { method, path, query: new URLSearchParams(search), headers: incoming.headers, body };
  const route = findRoute(services, request);
  const { response, fields } = await run(route);
  const level = response.status >= 500 ? "error" : response.status >= 400 ? "warn" : "info";
  const durationMs = Math.round(performance.now() - startedAt);
  log(level, "request", {
    operation: route.operation,
    method,
    status: response.status,
    ...fields,
    durationMs,
  });
  return response;
}

/** The parts of a request target; an absolute URL, as proxies send it, has no path here that any service knows. */
function splitTarget(target: string): readonly string[] {
  const question = target.indexOf("?");
  return question === -1 ? [target] : [target.slice(0, question), target.slice(question + 1)];
}

function findRoute(services: readonly Service[], request: ServiceRequest): Route {
  for (const service of services) {
    const route = service(request);
    if (route !== undefined) return route;
  }
  return {
    operation: "unknown",
    handle: async () => {
      throw googleError("NOT_FOUND", "The requested URL was not found on this server.", {
        reason: "no such path",
      });
    },
  };
}

async function run(route: Route): Promise<{ response: ServiceResponse; fields: LogFields }> {
  try {
    return { response: await route.handle(), fields: {} };
  } catch (error) {
    if (error instanceof Refusal) {
      return { response: error.response, fields: { outcome: error.outcome, reason: error.reason } };
    }
    // A message of ours names files and codes; one of anybody else's could name anything.
    const fields = isPolarisError(error)
      ? { code: error.code, message: error.message }
      : { code: "INTERNAL" };
    const { response, outcome } = googleError("INTERNAL", "Internal error encountered.");
    return { response, fields: { outcome, ...fields } };
  }
}

/** The whole body; undefined if it is longer than the limit. */
async function readBody(incoming: IncomingMessage, maxBytes: number): Promise<Uint8Array | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= maxBytes) chunks.push(chunk);
    else if (size > 16 * maxBytes) throw new Error("the body does not end");
  }
  return size > maxBytes ? undefined : Buffer.concat(chunks);
}

function unavailable(): ServiceResponse {
  const { response } = googleError("UNAVAILABLE", "The service is starting.");
  return { ...response, headers: { "retry-after": "1" } };
}

function send(response: ServerResponse, { status, headers, body }: ServiceResponse): void {
  const content = Buffer.from(JSON.stringify(body));
  response.writeHead(status, {
    "content-type": "application/json; charset=UTF-8",
    "content-length": content.length,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...headers,
  });
  response.end(content);
}
