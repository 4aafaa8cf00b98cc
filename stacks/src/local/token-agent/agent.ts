import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { type ErrorCode, isPolarisError, PolarisError } from "@polaris-cvm/sdk/errors";
import { claimSocketPath, restrictSocket } from "../trust/claim-socket.ts";
import type { Log } from "../trust/log.ts";

import { createTokenBucket, type TakeToken } from "./token-bucket.ts";

/** A running token agent. */
export interface TokenAgent {
  /** Stops to listen, ends open connections and removes the socket. */
  close(): Promise<void>;
}

export interface TokenAgentOptions {
  readonly socketPath: string;
  /** Group that may connect besides this user. */
  readonly group?: number | null;
  /** One token for the fixed audience of evidence, with this nonce: 64 lowercase hex characters. Aborted by the close. */
  readonly issueToken: (nonce: string, signal: AbortSignal) => Promise<string>;
  readonly log: Log;
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
  /** How long a client may take to send its line. */
  readonly inputTimeoutMs?: number;
}

const REQUEST = /^[0-9a-f]{64}\n$/;
const REQUEST_BYTES = 65;
const INPUT_TIMEOUT_MS = 5000;
const MAX_CONNECTIONS = 64;
const RATE_PER_SECOND = 10;
const BURST = 20;

/** Codes in answers: those of PolarisError, and one of the protocol's own. */
type AnswerCode = ErrorCode | "RATE_LIMITED";

/**
 * Listens on a Unix socket (0600, with a group 0660) for one line per connection, 64 lowercase hex characters, and answers with one line:
 * `token <JWT>` or `error <CODE> <text>`. What the token is for is not the client's to say.
 *
 * @throws {PolarisError} as of {@link claimSocketPath}
 */
export async function startTokenAgent(options: TokenAgentOptions): Promise<TokenAgent> {
  const { group = null } = options;
  await claimSocketPath(options.socketPath, group);
  const takeToken = createTokenBucket({ ratePerSecond: RATE_PER_SECOND, burst: BURST, now: options.now });
  const sockets = new Set<Socket>();
  const closing = new AbortController();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    // A client that goes away is its own affair.
    socket.on("error", () => socket.destroy());
    serve(socket, options, takeToken, closing.signal).then(
      // Not end alone: a client that keeps its half open would keep the connection.
      (line) => socket.end(`${line}\n`, () => socket.destroy()),
      () => socket.destroy(),
    );
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.listen(options.socketPath);
  await once(server, "listening");
  await restrictSocket(options.socketPath, group);
  return {
    close: async () => {
      const closed = once(server, "close");
      server.close();
      closing.abort();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** The answer to one connection. */
async function serve(
  socket: Socket,
  options: TokenAgentOptions,
  takeToken: TakeToken,
  signal: AbortSignal,
): Promise<string> {
  const startedAtMs = options.now();
  try {
    const nonce = await readNonce(socket, options.inputTimeoutMs ?? INPUT_TIMEOUT_MS);
    if (!takeToken()) return refuse(options.log, "RATE_LIMITED", "too many requests, try again in a second");
    const token = await options.issueToken(nonce, signal);
    options.log("info", "token issued", { durationMs: Math.round(options.now() - startedAtMs) });
    return `token ${token}`;
  } catch (error) {
    if (!isPolarisError(error)) return refuse(options.log, "INTERNAL", "internal error");
    return refuse(options.log, error.code, error.message);
  }
}

function refuse(log: Log, code: AnswerCode, message: string): string {
  log("warn", "request refused", { code, message });
  return `error ${code} ${message.replaceAll(/[\r\n]+/g, " ")}`;
}

/**
 * @throws {PolarisError} REQUEST_INVALID for anything but 64 lowercase hex characters and a line feed
 * @throws {PolarisError} TIMEOUT
 */
async function readNonce(socket: Socket, timeoutMs: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let received = Buffer.alloc(0);
  const timer = setTimeout(() => {
    reject(new PolarisError("TIMEOUT", `no complete request within ${timeoutMs} ms`));
  }, timeoutMs);
  const finish = (): void => {
    const text = received.toString("latin1");
    if (REQUEST.test(text)) resolve(text.trimEnd());
    else reject(new PolarisError("REQUEST_INVALID", "expected 64 lowercase hex characters and a line feed"));
  };
  socket.on("data", (chunk: Buffer) => {
    // One byte more than a request is enough to know that it is none.
    received = Buffer.concat([received, chunk.subarray(0, REQUEST_BYTES + 1)]);
    if (received.length >= REQUEST_BYTES || received.includes(0x0a)) finish();
  });
  socket.once("end", finish).once("close", finish);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    // What else comes is read and dropped, so that the answer can be sent and the connection ends.
    socket.removeAllListeners("data").resume();
  }
}
