import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { connect } from "node:net";
import { test } from "node:test";
import { createContainerKeyProvider } from "../testing/golden-vectors.ts";
import { get, logLines, request } from "../testing/proxy-answers.ts";
import { openRaw, startTcpWorkload } from "../testing/raw-connection.ts";
import { fetchMetrics, parseMetrics, untilMetric } from "../testing/read-metrics.ts";
import { sendRaw, startProxy, startWorkload } from "../testing/running-proxy.ts";

/** The samples of the proxy's own counters, without those of the histogram's buckets. */
async function ownSamples(proxy: Parameters<typeof fetchMetrics>[0]): Promise<Record<string, number>> {
  const samples = [...(await fetchMetrics(proxy))].filter(([name]) => name.startsWith("polaris_proxy_"));
  return Object.fromEntries(
    samples
      .filter(([name]) => !/_bucket|_sum|_seconds_count/.test(name))
      .map(([name, value]) => [name.slice("polaris_proxy_".length), value]),
  );
}

test("every request is counted once, with its status, its code and its bytes", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url, { metricsPort: 0 });
  await sendRaw(proxy.port, request("POST", "/", ["connection: close", "content-length: 5"], "12345"));
  await sendRaw(proxy.port, get("/planted-path", "planted: header"));
  await sendRaw(proxy.port, get("//planted"));
  await sendRaw(proxy.port, get("/", "polaris-secure: planted"));
  await sendRaw(proxy.port, get("/", "polaris-secure: planted"));
  await sendRaw(proxy.port, "PLANTED / HTTP/1.1\r\nhost: h\r\n\r\n");
  await logLines(proxy, 6);
  await untilMetric(proxy, "connections", 0);
  assert.deepEqual(await ownSamples(proxy), {
    'requests_total{status="200",code=""}': 2,
    'requests_total{status="400",code="REQUEST_INVALID"}': 2,
    'requests_total{status="400",code="ENVELOPE_MALFORMED"}': 2,
    'body_bytes_total{direction="in"}': 5,
    'body_bytes_total{direction="out"}': 5,
    connections: 0,
    requests_in_flight: 0,
    held_bytes: 0,
    private_operations_running: 0,
    private_operations_waiting: 0,
  });
  const metrics = await fetchMetrics(proxy);
  assert.equal(metrics.get("polaris_proxy_request_duration_seconds_count"), 6);
  assert.equal(metrics.get('polaris_proxy_request_duration_seconds_bucket{le="+Inf"}'), 6);
  assert.ok((metrics.get("process_resident_memory_bytes") ?? 0) > 0);
  assert.ok(![...metrics.keys()].some((name) => name.toLowerCase().includes("planted")));
});

test("what is going on now is counted while it goes on", async () => {
  await using workload = await startTcpWorkload();
  await using proxy = await startProxy(workload.url, { metricsPort: 0 });
  const asked = workload.next();
  using client = openRaw(proxy.port).send(get("/"));
  const connection = await asked;
  await connection.until("\r\n\r\n");
  const during = await ownSamples(proxy);
  assert.deepEqual([during["connections"], during["requests_in_flight"]], [1, 1]);
  connection.send("HTTP/1.1 204 No Content\r\n\r\n");
  await client.ended;
  await untilMetric(proxy, "requests_in_flight", 0);
});

test("the metrics are a page of their own, for GET and HEAD alone", async () => {
  await using proxy = await startProxy("http://127.0.0.1:1", { metricsPort: 0 });
  const url = `http://127.0.0.1:${proxy.metricsPort}`;
  const page = await fetch(`${url}/metrics`);
  assert.equal(page.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  parseMetrics(await page.text());
  assert.equal((await fetch(`${url}/metrics`, { method: "HEAD" })).status, 200);
  for (const [path, method] of [
    ["/", "GET"],
    ["/metrics/", "GET"],
    ["/metrics", "POST"],
    ["/polaris-container/health", "GET"],
  ] as const) {
    assert.equal((await fetch(url + path, { method })).status, 404, path);
  }
  // Nobody asks for them at the port of the clients.
  assert.equal((await sendRaw(proxy.port, get("/polaris-container/metrics"))).status, 404);
});

test("only this machine gets to the metrics", async (t) => {
  const outside = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ internal, family }) => !internal && family === "IPv4");
  if (outside === undefined) {
    t.skip("this machine has no address but loopback");
    return;
  }
  await using proxy = await startProxy("http://127.0.0.1:1", { metricsPort: 0, host: "0.0.0.0" });
  const code = await new Promise((resolve) => {
    const socket = connect(proxy.metricsPort ?? 0, outside.address, () => resolve("connected"));
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code));
  });
  assert.equal(code, "ECONNREFUSED");
});

test("without a port, there are no metrics", async () => {
  await using proxy = await startProxy("http://127.0.0.1:1");
  assert.equal(proxy.metricsPort, undefined);
});

test("a number that cannot be read is the metrics' trouble alone", async () => {
  const container = await createContainerKeyProvider();
  let fails = true;
  const keys = {
    ...container,
    privateOperations() {
      if (fails) throw new Error("planted");
      return container.privateOperations();
    },
  };
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url, { metricsPort: 0, keys });
  const failed = await fetch(`http://127.0.0.1:${proxy.metricsPort}/metrics`);
  assert.deepEqual([failed.status, await failed.text()], [500, ""]);
  assert.equal((await sendRaw(proxy.port, get("/"))).status, 200);
  fails = false;
  await fetchMetrics(proxy);
});

test("the metrics' port is free again when the proxy has closed", async () => {
  const proxy = await startProxy("http://127.0.0.1:1", { metricsPort: 0 });
  await fetchMetrics(proxy);
  await proxy.close();
  await assert.rejects(fetch(`http://127.0.0.1:${proxy.metricsPort}/metrics`));
});
