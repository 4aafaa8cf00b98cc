import type { IncomingMessage, ServerResponse } from "node:http";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { readBody } from "./body.ts";
import type { Workload } from "./forward.ts";
import type { KeyProvider } from "./keys/key-provider.ts";
import type { Reply, WireFormat } from "./wire-format.ts";

/** Longest that one request waits for its key. */
const KEY_DEADLINE_MS = 10_000;

export interface ProxyContext {
  readonly wire: WireFormat;
  readonly keys: KeyProvider;
  readonly workload: Workload;
  readonly maxBodyBytes: number;
}

/** What the log says about a request besides its status. */
export interface Traffic {
  bytesIn: number;
  bytesOut: number;
}

/**
 * The path of a request through the proxy: read → open → forward → seal → send.
 *
 * @param gone  aborts when the client has gone
 * @throws {PolarisError} with an HTTP status; nothing has been sent then
 */
export async function handleRequest(
  { wire, keys, workload, maxBodyBytes }: ProxyContext,
  request: IncomingMessage,
  response: ServerResponse,
  gone: AbortSignal,
  traffic: Traffic,
): Promise<void> {
  checkNoUpgrade(request);
  const exchange = wire.admit(request.headers);

  const body = await readBody(request, maxBodyBytes);
  traffic.bytesIn = body.length;

  const { method = "GET", url: target = "/", rawHeaders: fieldLines } = request;
  let patience: AbortSignal | undefined;
  const clear = await exchange.open({ method, target, fieldLines, body }, (wrapped) => {
    patience ??= AbortSignal.any([gone, AbortSignal.timeout(KEY_DEADLINE_MS)]);
    return keys.unwrap(wrapped, patience);
  });

  const answer = await workload.forward(clear, request.socket.remoteAddress ?? "unknown", gone);
  const reply = exchange.seal(answer);
  traffic.bytesOut = reply.body?.length ?? 0;
  send(response, reply);
}

/**
 * Another protocol could not be sealed, and is refused rather than answered as if it had not been asked for. HTTP/2 in
 * clear text is the exception: clients that offer it go on with HTTP/1.1.
 */
function checkNoUpgrade({ headers: { upgrade } }: IncomingMessage): void {
  if (upgrade !== undefined && upgrade.toLowerCase() !== "h2c") {
    throw new PolarisError("REQUEST_INVALID", "this version of the proxy passes no protocol upgrades");
  }
}

function send(response: ServerResponse, { status, fieldLines, body }: Reply): void {
  // Node knows that 204 and 304 have no body; 205 has to say so (RFC 9110 §15.3.6).
  const byteCount = status === 205 ? 0 : body?.length;
  const lines =
    byteCount === undefined ? [...fieldLines] : [...fieldLines, "content-length", String(byteCount)];
  response.writeHead(status, lines);
  response.end(body);
}
