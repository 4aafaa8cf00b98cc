import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

/** What becomes of a request: `lose-request` never gets there, `lose-answer` gets there and is done. */
export type Passage = "pass" | "lose-request" | "lose-answer";

/** The network between a client and an API: by itself it loses nothing. */
export interface HttpRelay {
  readonly origin: string;
  /** Asked for each request; may take its time. */
  decide: (request: { readonly method: string; readonly path: string }) => Passage | Promise<Passage>;
  stop(): Promise<void>;
}

/** @param target  origin of the API behind it */
export async function startHttpRelay(target: string): Promise<HttpRelay> {
  const pass = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = "", url: path = "" } = request;
    const body = await buffer(request);
    const passage = await relay.decide({ method, path });
    if (passage === "lose-request") return void response.destroy();
    const answer = await fetch(`${target}${path}`, {
      method,
      headers: {
        authorization: request.headers.authorization ?? "",
        "content-type": request.headers["content-type"] ?? "",
      },
      ...(body.length > 0 && { body }),
    });
    if (passage === "lose-answer") return void response.destroy();
    response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "" });
    response.end(Buffer.from(await answer.arrayBuffer()));
  };
  const server = createServer((request, response) => {
    // Whatever goes wrong behind it, the client sees a line that breaks.
    pass(request, response).catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const relay: HttpRelay = {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    decide: () => "pass",
    async stop() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
  return relay;
}
