import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";
import type { Traffic } from "./traffic.ts";

/** What is going on now; asked for when somebody reads the metrics. */
export interface ProxyGauges {
  readonly connections: () => number;
  readonly requests: () => number;
  readonly heldBytes: () => number;
  readonly privateOperations: () => { readonly running: number; readonly waiting: number };
}

export interface ProxyMetrics {
  /** @param code  of the error that the request ended with */
  requestEnded(status: number, code: string | undefined, durationMs: number, traffic: Traffic): void;
  /** Text in the format of Prometheus. */
  render(): Promise<string>;
  readonly contentType: string;
}

/** From a fast answer in the clear to the timeout of a slow workload, in seconds. */
const DURATION_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** No label is a client's word: statuses and codes are from short lists, so that the metrics cannot grow. */
export function createMetrics(gauges: ProxyGauges): ProxyMetrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });

  const requests = new Counter({
    name: "polaris_proxy_requests_total",
    help: "Requests answered, by status of the answer and error code of the proxy (empty: none).",
    labelNames: ["status", "code"],
    registers,
  });
  const durations = new Histogram({
    name: "polaris_proxy_request_duration_seconds",
    help: "Time from the headers of a request until its answer was handed over.",
    buckets: DURATION_BUCKETS,
    registers,
  });
  const bytes = new Counter({
    name: "polaris_proxy_body_bytes_total",
    help: "Bytes of bodies as received and as sent.",
    labelNames: ["direction"],
    registers,
  });
  const bytesIn = bytes.labels("in");
  const bytesOut = bytes.labels("out");

  const gauge = (name: string, help: string, read: () => number): void => {
    const created: Gauge = new Gauge({ name, help, registers, collect: () => created.set(read()) });
  };
  gauge("polaris_proxy_connections", "Open connections of clients.", gauges.connections);
  gauge("polaris_proxy_requests_in_flight", "Requests that are being answered.", gauges.requests);
  gauge("polaris_proxy_held_bytes", "Bytes of sealed bodies in memory.", gauges.heldBytes);
  gauge(
    "polaris_proxy_private_operations_running",
    "Private key operations that are being done.",
    () => gauges.privateOperations().running,
  );
  gauge(
    "polaris_proxy_private_operations_waiting",
    "Private key operations that wait for their turn.",
    () => gauges.privateOperations().waiting,
  );

  return {
    requestEnded(status, code, durationMs, traffic) {
      requests.labels(String(status), code ?? "").inc();
      durations.observe(durationMs / 1000);
      if (traffic.bytesIn > 0) bytesIn.inc(traffic.bytesIn);
      if (traffic.bytesOut > 0) bytesOut.inc(traffic.bytesOut);
    },
    render: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
