// 1.5.3: the original collected both directions whole, even with encryption off. Each side here waits until the other one has
// got the beginning before it goes on: with anything in between that collects, these tests would never end.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request as sendRequest } from "node:http";
import type { IncomingMessage, RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { createClient } from "@polaris-cvm/sdk";
import { GOLDEN_VECTORS } from "../../proxy/testing/golden-vectors.ts";
import { startProxy } from "../../proxy/testing/running-proxy.ts";
import { orAbort } from "../../sdk/src/single-flight.ts";

const encryption = { requests: "off", responses: "off" } as const;
const timeout = 5_000;

/** A workload that answers before it has read. */
async function startStreaming(answer: RequestListener): Promise<{ url: string } & AsyncDisposable> {
  const server = createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

test(
  "1.5.3: a stream of events began when it had ended; here the first event is there while the workload holds the rest",
  { timeout },
  async ({ signal }) => {
    const { promise: isReceived, resolve: tellReceived } = Promise.withResolvers<void>();
    await using workload = await startStreaming((_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: first\n\n");
      void isReceived.then(() => response.end("data: last\n\n"));
    });
    await using proxy = await startProxy(workload.url, { encryption });
    const client = createClient({
      url: proxy.url,
      publicKey: GOLDEN_VECTORS.containerPublicKeyPem,
      requests: "clear",
      responses: "clear",
    });
    const response = await client.fetch("/events", { signal });
    assert.equal(response.headers.get("content-type"), "text/event-stream");
    assert.ok(response.body !== null);
    const events: string[] = [];
    for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
      events.push(piece);
      tellReceived();
    }
    assert.deepEqual(events, ["data: first\n\n", "data: last\n\n"]);
  },
);

test(
  "1.5.3: a body reached the workload when it was all there; here its beginning does while the client holds the rest",
  { timeout },
  async ({ signal }) => {
    const { promise: hasBegun, resolve: tellBegun } = Promise.withResolvers<string>();
    await using workload = await startStreaming((request, response) => {
      request.setEncoding("utf8");
      request.once("data", (piece: string) => {
        tellBegun(piece);
        request.resume().once("end", () => response.end("all"));
      });
    });
    await using proxy = await startProxy(workload.url, { encryption });
    const client = sendRequest(proxy.url, { method: "PUT", signal });
    client.write("first");
    assert.equal(await orAbort(signal, hasBegun), "first");
    client.end("last");
    const [response] = (await once(client, "response")) as [IncomingMessage];
    assert.deepEqual(await response.setEncoding("utf8").toArray(), ["all"]);
  },
);
