import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";

/** A request as it came. Its body is what had come by the time of the answer. */
export interface SeenRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly authorization: string | undefined;
}

/** Gives an answer to a request, or none. */
export type AnswerRequest = (
  request: IncomingMessage,
  response: ServerResponse,
  seen: SeenRequest,
) => void | Promise<void>;

export interface HostileRegistry {
  /** `127.0.0.1:<port>`, as in a reference. */
  readonly host: string;
  readonly port: number;
  readonly seen: readonly SeenRequest[];
  stop(): Promise<void>;
}

/** Starts a server on loopback whose answers the test chooses. */
export async function startHostileRegistry(
  answer: AnswerRequest,
  tls?: { readonly cert: string; readonly key: string },
): Promise<HostileRegistry> {
  const seen: SeenRequest[] = [];
  const listener: RequestListener = (request, response) => {
    const { method = "", url = "", headers } = request;
    const one = { method, url, authorization: headers.authorization };
    seen.push(one);
    // A client that has had enough closes the connection.
    request.on("error", () => {});
    response.on("error", () => {});
    void answer(request, response, one);
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    host: `127.0.0.1:${port}`,
    port,
    seen,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
