import { Agent, type IncomingMessage, request } from "node:http";
import { decodeBase64, encodeBase64 } from "../base64.ts";
import type { DataKeyRequest, DataKeyUnwrap } from "../data-at-rest.ts";
import { DATA_KEY_BYTES, dataOpenFailed } from "../data-format.ts";
import {
  UNWRAP_DATA_KEY_PATH,
  type UnwrapDataKeyAnswer,
  type UnwrapDataKeyQuestion,
} from "../data-key-route.ts";
import { isPolarisError, PolarisError } from "../errors.ts";
import { ERROR_HEADER } from "../headers.ts";

export interface DataKeyApiOptions {
  /** The proxy's socket: for a workload of Polaris the value of its variable `POLARIS_KEY_API_SOCKET`. */
  readonly socketPath: string;
  /** Longest wait for one key, the wait for a free connection included, in milliseconds. Default: 30 000. */
  readonly timeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 30_000;

/** Questions that are open at a time; more wait here, not in the proxy. */
const MAX_CONNECTIONS = 8;

/** Far above any answer. */
const MAX_ANSWER_BYTES = 16 * 1024;

/**
 * Unwraps content keys by the proxy's key API: how a workload opens data that is sealed to its stack.
 *
 * What it gives rejects with DATA_OPEN_FAILED for a wrap that the proxy's key does not open, and with DATA_KEY_UNAVAILABLE if
 * there is no socket, no answer in time, or an answer that the key cannot be used now (`details.code` is the proxy's).
 */
export function createDataKeyUnwrap(options: DataKeyApiOptions): DataKeyUnwrap {
  const { socketPath, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
  const agent = new Agent({ maxSockets: MAX_CONNECTIONS });
  return async (question) => {
    const timeout = AbortSignal.timeout(timeoutMs);
    const signal = question.signal === undefined ? timeout : AbortSignal.any([question.signal, timeout]);
    try {
      return readAnswer(await ask(agent, socketPath, question, signal));
    } catch (cause) {
      if (isPolarisError(cause)) throw cause;
      if (question.signal?.aborted === true) throw question.signal.reason;
      const problem = timeout.aborted ? `has not answered within ${timeoutMs} ms` : "cannot be reached";
      throw new PolarisError("DATA_KEY_UNAVAILABLE", `the key API at ${socketPath} ${problem}`, {
        hint: "it is there once the proxy runs with POLARIS_PROXY_WORKLOAD_KEY_API_SOCKET (proxy.workloadKeyApi: true)",
        cause,
      });
    }
  };
}

interface Answer {
  readonly status: number;
  readonly code: string | undefined;
  readonly body: string;
}

function ask(
  agent: Agent,
  socketPath: string,
  { keyId, wrappedKey }: DataKeyRequest,
  signal: AbortSignal,
): Promise<Answer> {
  const question: UnwrapDataKeyQuestion = { keyId, wrappedKey: encodeBase64(wrappedKey) };
  const body = JSON.stringify(question);
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const outgoing = request({
    agent,
    socketPath,
    path: UNWRAP_DATA_KEY_PATH,
    method: "POST",
    headers: { "content-type": "application/json", "content-length": Buffer.byteLength(body) },
    signal,
  });
  outgoing.on("error", reject);
  outgoing.on("response", (response) => void receive(response).then(resolve, reject));
  outgoing.end(body);
  return promise;
}

async function receive(response: IncomingMessage): Promise<Answer> {
  const status = response.statusCode ?? 0;
  const code = response.headers[ERROR_HEADER];
  let body = "";
  for await (const piece of response.setEncoding("utf8")) {
    body += String(piece);
    // Leaving the loop ends the connection.
    if (body.length > MAX_ANSWER_BYTES) return { status, code: undefined, body: "" };
  }
  return { status, code: typeof code === "string" ? code : undefined, body };
}

function readAnswer({ status, code, body }: Answer): Uint8Array {
  if (status === 200) {
    const dataKey = parseDataKey(body);
    if (dataKey !== undefined) return dataKey;
  }
  if (code === "DATA_OPEN_FAILED") throw dataOpenFailed();
  const reason = /^[A-Z_]{1,64}$/.exec(code ?? "")?.[0];
  throw new PolarisError(
    "DATA_KEY_UNAVAILABLE",
    reason === undefined ? "the key API gave an answer out of protocol" : `the key API refused: ${reason}`,
    { details: { status, ...(reason !== undefined && { code: reason }) } },
  );
}

function parseDataKey(body: string): Uint8Array | undefined {
  let answer: Partial<Record<keyof UnwrapDataKeyAnswer, unknown>> | null;
  try {
    answer = JSON.parse(body) as typeof answer;
  } catch {
    return undefined;
  }
  const dataKey = typeof answer?.dataKey === "string" ? decodeBase64(answer.dataKey) : undefined;
  return dataKey?.length === DATA_KEY_BYTES ? dataKey : undefined;
}
