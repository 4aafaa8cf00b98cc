import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { ProxyMetrics } from "./metrics.ts";

/** Whoever watches the machine is on it; nobody else gets to know how busy the proxy is. */
const HOST = "127.0.0.1";
const PATH = "/metrics";

export interface MetricsServer {
  /** Resolves with the port; rejects with Node's error if it cannot have it. */
  listen(): Promise<number>;
  close(): void;
}

/** Serves the metrics at a port of their own, on loopback. @param port  0: any free one */
export function createMetricsServer(metrics: ProxyMetrics, port: number): MetricsServer {
  const server = createServer((request, response) => {
    request.resume();
    if (request.url !== PATH || (request.method !== "GET" && request.method !== "HEAD")) {
      response.writeHead(404).end();
      return;
    }
    metrics.render().then(
      (text) => response.writeHead(200, { "content-type": metrics.contentType }).end(text),
      // A number that cannot be read is no reason to stop what it counts.
      () => response.writeHead(500).end(),
    );
  });
  return {
    async listen() {
      server.listen({ port, host: HOST });
      await once(server, "listening");
      return (server.address() as AddressInfo).port;
    },
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
