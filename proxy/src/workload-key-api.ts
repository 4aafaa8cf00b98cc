import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { chmod } from "node:fs/promises";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { dataOpenFailed, encodeBase64, parseWrappedValue } from "@polaris-cvm/sdk";
import type { UnwrapDataKeyAnswer } from "@polaris-cvm/sdk";
import { PolarisError, isPolarisError } from "@polaris-cvm/sdk/errors";
import type { ErrorCode } from "@polaris-cvm/sdk/errors";
import { readQuestion } from "./data-key-question.ts";
import type { DataKeyQuestion } from "./data-key-question.ts";
import type { KeyApiAccess } from "./environment-variables.ts";
import type { KeyProvider } from "./keys/key-provider.ts";
import { formatLastAnswer } from "./last-bytes.ts";
import { describeFailure } from "./log.ts";
import type { ProxyLog } from "./log.ts";
import { claimMountedSocket } from "./mounted-socket.ts";
import { claimPrivateSocket } from "./private-socket.ts";
import { describeProblem, problemLines } from "./problem.ts";

/** Bounds of the API; whatever is above is refused, so that nothing grows with what the workload asks. */
export interface WorkloadKeyApiLimits {
  readonly maxBodyBytes: number;
  readonly maxConnections: number;
  /** Keys that are being unwrapped at a time; one more is OVERLOADED. */
  readonly maxUnwraps: number;
  readonly bodyTimeoutMs: number;
  readonly unwrapTimeoutMs: number;
  /** Longest that calls in flight hold up the end. */
  readonly closeTimeoutMs: number;
}

const DEFAULT_LIMITS: WorkloadKeyApiLimits = {
  maxBodyBytes: 16 * 1024,
  maxConnections: 128,
  maxUnwraps: 32,
  bodyTimeoutMs: 5_000,
  unwrapTimeoutMs: 30_000,
  closeTimeoutMs: 5_000,
};

/** Which folder the socket may be in, and who may connect to it there. */
const ACCESS_RULES = {
  owner: { claim: claimPrivateSocket, mode: 0o600 },
  // The users of another container are none of ours: who may come is decided by who has the folder.
  mounted: { claim: claimMountedSocket, mode: 0o666 },
} as const;

const MAX_HEADER_BYTES = 8 * 1024;
const CONNECTION_CHECK_MS = 1_000;

export interface WorkloadKeyApiOptions {
  /** Absolute path. */
  readonly socketPath: string;
  /** `owner`: its folder must be, or becomes, ours alone (0700); `mounted`: it must be a mount with nothing else in it. */
  readonly access: KeyApiAccess;
  readonly keys: Pick<KeyProvider, "unwrap">;
  readonly log: ProxyLog;
  readonly limits?: Partial<WorkloadKeyApiLimits>;
}

export interface WorkloadKeyApi {
  /**
   * Begins to listen on the socket, and on nothing else.
   *
   * @throws {PolarisError} as of {@link claimPrivateSocket} or {@link claimMountedSocket}; STATE_UNWRITABLE if the socket cannot be made
   */
  listen(): Promise<void>;
  /** Takes no new connections, finishes the calls in flight, removes the socket. */
  close(): Promise<void>;
}

/**
 * The API by which the workload, and nobody else, gets content keys of data at rest unwrapped (docs/data.md): one route, over
 * HTTP on a Unix socket. It gives out what was wrapped for data and nothing that was wrapped for a request.
 */
export function createWorkloadKeyApi({
  socketPath,
  access,
  keys,
  log,
  limits,
}: WorkloadKeyApiOptions): WorkloadKeyApi {
  const bounds = { ...DEFAULT_LIMITS, ...limits };
  const called = new WeakSet<Socket>();
  let unwrapping = 0;
  let closing: Promise<void> | undefined;

  /** The content key; every wrap that gives none fails alike. */
  async function unwrapDataKey(
    { keyId, wrappedKey }: DataKeyQuestion,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    if (unwrapping >= bounds.maxUnwraps) {
      throw new PolarisError("OVERLOADED", `${bounds.maxUnwraps} keys are being unwrapped already`);
    }
    unwrapping += 1;
    try {
      const dataKey = parseWrappedValue(await keys.unwrap(wrappedKey, keyId, signal));
      if (dataKey === undefined) throw dataOpenFailed();
      return dataKey;
    } catch (error) {
      throw isPolarisError(error) && NOT_FOR_THIS_KEY.has(error.code) ? dataOpenFailed() : error;
    } finally {
      unwrapping -= 1;
    }
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedMs = performance.now();
    const requestId = randomUUID();
    const gone = new AbortController();
    called.add(request.socket);
    response.on("close", () => {
      if (!response.writableFinished) gone.abort(new Error("the caller went away"));
      if (closing !== undefined) server.closeIdleConnections();
    });
    let failure: unknown;
    try {
      const question = await readQuestion(request, bounds);
      const timeout = AbortSignal.timeout(bounds.unwrapTimeoutMs);
      const dataKey = await unwrapDataKey(question, AbortSignal.any([gone.signal, timeout]));
      sendDataKey(response, dataKey);
    } catch (error) {
      failure = error;
    }
    const facts = { requestId, durationMs: Math.round((performance.now() - startedMs) * 10) / 10 };
    if (gone.signal.aborted) log.info({ event: "data-key-given-up", ...facts });
    else if (failure === undefined) log.info({ event: "data-key", status: response.statusCode, ...facts });
    else refuse(response, failure, facts);
  }

  function refuse(
    response: ServerResponse,
    failure: unknown,
    facts: { requestId: string; durationMs: number },
  ): void {
    const problem = describeProblem(failure, facts.requestId);
    response.writeHead(problem.status, problemLines(problem));
    response.end(problem.body);
    const line = { event: "data-key", status: problem.status, code: problem.code, ...facts };
    if (problem.status < 500) log.warn(line);
    else log.error({ ...line, reason: describeFailure(failure) });
  }

  /** Ends a connection whose bytes are no request. */
  function refuseBytes(socket: Socket, cause: Error): void {
    const requestId = randomUUID();
    const refusal = new PolarisError("REQUEST_INVALID", "what came is not HTTP", { cause });
    const problem = describeProblem(refusal, requestId);
    socket.end(formatLastAnswer(problem.status, problemLines(problem), problem.body), () => socket.destroy());
    log.warn({ event: "data-key", status: problem.status, code: problem.code, requestId });
  }

  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: bounds.bodyTimeoutMs,
      // Our own limit for the body answers first; this one ends who goes on sending after the answer.
      requestTimeout: 2 * bounds.bodyTimeoutMs,
      connectionsCheckingInterval: CONNECTION_CHECK_MS,
    },
    (request, response) => void answer(request, response),
  );
  server.maxConnections = bounds.maxConnections;
  server.on("clientError", (cause, socket: Socket) => {
    if (socket.writable && !called.has(socket)) refuseBytes(socket, cause);
    else socket.destroy();
  });

  return {
    async listen() {
      const { claim, mode } = ACCESS_RULES[access];
      await claim(socketPath);
      try {
        server.listen(socketPath);
        await once(server, "listening");
        await chmod(socketPath, mode);
      } catch (cause) {
        server.close();
        throw new PolarisError("STATE_UNWRITABLE", `cannot listen on ${socketPath}`, { cause });
      }
    },
    close: () => (closing ??= closeServer(server, bounds.closeTimeoutMs)),
  };
}

/** What a provider says of a wrap that it does not open; a caller learns no more than that. */
const NOT_FOR_THIS_KEY: ReadonlySet<ErrorCode> = new Set([
  "ENVELOPE_OPEN_FAILED",
  "DATA_OPEN_FAILED",
  "KEY_UNKNOWN",
]);

function sendDataKey(response: ServerResponse, dataKey: Uint8Array): void {
  const answer: UnwrapDataKeyAnswer = { dataKey: encodeBase64(dataKey) };
  const body = JSON.stringify(answer);
  response.writeHead(200, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
  });
  response.end(body);
}

async function closeServer(server: Server, timeoutMs: number): Promise<void> {
  if (!server.listening) return;
  const deadline = setTimeout(() => server.closeAllConnections(), timeoutMs);
  const closed = once(server, "close");
  server.close();
  await closed;
  clearTimeout(deadline);
}
