/**
 * The bare reference: the least that a proxy on node:http and undici's dispatch can do, with the server's and the pool's
 * settings of ours (proxy/src/listener.ts, proxy/src/forward.ts). Raw headers and bodies go both ways, with backpressure.
 * Nothing else: no log, no filter, no limit. This file is what figures are compared with, so it stays as it is.
 *
 * @param argv  the workload's origin; tells its port to the process that started it, and ends with it
 */
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Pool } from "undici";
import type { Dispatcher } from "undici";

const pool = new Pool(process.argv[2] ?? "", {
  connections: 1024,
  connectTimeout: 5_000,
  headersTimeout: 60_000,
  bodyTimeout: 60_000,
  maxHeaderSize: 64 * 1024,
});

function answer(request: IncomingMessage, response: ServerResponse): void {
  const { method = "GET", url = "/", rawHeaders, headers } = request;
  const hasBody = headers["content-length"] !== undefined || headers["transfer-encoding"] !== undefined;
  pool.dispatch(
    { method, path: url, headers: rawHeaders, body: hasBody ? request : null },
    {
      onRequestStart(controller) {
        response.on("close", () => {
          if (!response.writableFinished) controller.abort(new Error("the client went away"));
        });
      },
      onResponseStart(controller, status) {
        response.writeHead(status, readRawLines(controller));
      },
      onResponseData(controller, chunk) {
        if (response.write(chunk)) return;
        controller.pause();
        response.once("drain", () => controller.resume());
      },
      onResponseEnd() {
        response.end();
      },
      onResponseError() {
        response.destroy();
      },
    },
  );
}

/** undici hands the lines of HTTP/1.1 over as bytes. */
function readRawLines({ rawHeaders }: Dispatcher.DispatchController): string[] {
  return Array.isArray(rawHeaders) ? rawHeaders.map((part) => part.toString("latin1")) : [];
}

const server = createServer(
  {
    maxHeaderSize: 64 * 1024,
    headersTimeout: 10_000,
    requestTimeout: 0,
    connectionsCheckingInterval: 5_000,
    keepAliveTimeout: 65_000,
  },
  answer,
);
server.maxHeadersCount = 0;
server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
process.once("disconnect", () => process.exit());
