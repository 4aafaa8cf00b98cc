import { PolarisError, isPolarisError } from "@polaris-cvm/sdk/errors";
import type { BodyMemory } from "./body-memory.ts";
import { ClientSink } from "./client-answer.ts";
import type { ClientResponse } from "./client-answer.ts";
import type { ClientPresence } from "./client-presence.ts";
import type { ProxyLimits } from "./environment.ts";
import type { FieldLines } from "./field-lines.ts";
import type { Forwarding, Workload } from "./forward.ts";
import { KEY_DEADLINE_MS } from "./keys/key-provider.ts";
import type { KeyProvider } from "./keys/key-provider.ts";
import type { ReceivedRequest } from "./received-request.ts";
import type { AnswerSink, Exchange, Means, WireFormat } from "./wire-format.ts";

/** To whom and how a request is answered. */
export interface Answering extends Forwarding {
  readonly response: ClientResponse;
  /** Fields of the proxy that every answer gets. */
  readonly ownLines: FieldLines;
}

export interface ProxyContext {
  readonly wire: WireFormat;
  readonly keys: KeyProvider;
  readonly workload: Workload;
  readonly memory: BodyMemory;
  readonly limits: Pick<ProxyLimits, "idleTimeoutMs">;
}

/**
 * The path of a request through the proxy: open → forward → seal. What is not sealed streams through.
 *
 * Rejects, or throws at once, with a PolarisError with an HTTP status; nothing has been sent then, unless the answer had
 * begun.
 */
export function handleRequest(
  context: ProxyContext,
  received: ReceivedRequest,
  answering: Answering,
): Promise<void> {
  checkNoUpgrade(received);
  const { response, ownLines, traffic } = answering;
  const exchange = context.wire.admit(received.headers);
  const sink = new ClientSink(response, ownLines, traffic, context.limits.idleTimeoutMs);
  return exchange.isClear
    ? context.workload.forward(received, sink, answering)
    : handleSealed(context, exchange, received, sink, answering);
}

async function handleSealed(
  { keys, workload, memory }: ProxyContext,
  exchange: Exchange,
  received: ReceivedRequest,
  sink: AnswerSink,
  answering: Answering,
): Promise<void> {
  const share = memory.share();
  // A sealed answer is in memory until the client has taken it.
  answering.response.on("close", () => share.giveBack());
  const means: Means = {
    unwrap: createUnwrap(keys, answering.client),
    async readBody(body) {
      const bytes = await share.readBody(body, received.headers["content-length"]);
      answering.traffic.bytesIn = bytes.length;
      return bytes;
    },
    take: (byteCount) => share.take(byteCount),
  };
  try {
    const clear = await exchange.open(received, means);
    await workload.forward(clear, exchange.seal(sink, means), answering);
  } catch (error) {
    share.giveBack();
    throw error;
  }
}

/**
 * Unwraps for one request: all its parts have one deadline, and none waits for its turn once another has failed. A wrong
 * ciphertext is no failure: the others go on as if it had been right.
 */
function createUnwrap(keys: KeyProvider, client: ClientPresence): Means["unwrap"] {
  const failed = new AbortController();
  let patience: AbortSignal | undefined;
  return async (wrapped, keyId) => {
    patience ??= AbortSignal.any([client.signal, failed.signal, AbortSignal.timeout(KEY_DEADLINE_MS)]);
    try {
      return await keys.unwrap(wrapped, keyId, patience);
    } catch (error) {
      if (!isPolarisError(error) || error.code !== "ENVELOPE_OPEN_FAILED") failed.abort(error);
      throw error;
    }
  };
}

/**
 * Another protocol could not be sealed, and is refused rather than answered as if it had not been asked for. HTTP/2 in
 * clear text is the exception: clients that offer it go on with HTTP/1.1.
 */
function checkNoUpgrade({ headers: { upgrade } }: ReceivedRequest): void {
  if (upgrade !== undefined && upgrade.toLowerCase() !== "h2c") {
    throw new PolarisError(
      "REQUEST_INVALID",
      "another protocol cannot be sealed, and only GET without a body asks for one",
    );
  }
}
