import assert from "node:assert/strict";
import { test } from "node:test";
import { get, logLines, logOf, request } from "../testing/proxy-answers.ts";
import { openRaw, startTcpWorkload } from "../testing/raw-connection.ts";
import { sendRaw, startProxy, startWorkload } from "../testing/running-proxy.ts";
import { createSealingClient } from "../testing/sealing.ts";

const FIELDS =
  "level,time,event,requestId,traceId,method,status,durationMs,bytesIn,bytesOut,keyProvider,keyId,port,code,reason,droppedLines";

test("nothing of what passes through is in the log", async () => {
  await using workload = await startWorkload((_request, response) => {
    response.writeHead(200, { "set-cookie": "planted-cookie" }).end("planted-answer");
  });
  await using proxy = await startProxy(workload.url, { logLevel: "trace", limits: { maxBodyBytes: 10_000 } });
  const client = createSealingClient(proxy.url);
  const init = {
    method: "POST",
    body: "planted-plaintext",
    headers: { authorization: "Bearer planted-token" },
  };
  await client.fetch("/planted-path?q=planted-query", init);
  await fetch(`${proxy.url}/planted-path?q=planted-query`, init);
  await fetch(`${proxy.url}/polaris-container/planted-route?planted-query`);
  await sendRaw(proxy.port, get("//planted-host/planted-path", "x: planted-header"));
  await sendRaw(proxy.port, get("/", "polaris-secure: planted-secure"));
  await sendRaw(proxy.port, get("/", "polaris-key-id: planted-key", "polaris-secure: planted-secure"));
  await sendRaw(proxy.port, get("/", "traceparent: planted-trace", "origin: planted-origin"));
  await sendRaw(proxy.port, "planted-bytes\r\n\r\n");
  await fetch(proxy.url, { method: "POST", body: "planted-".repeat(2000) });
  await client.fetch("/", { ...init, headers: { "x-planted-name": "planted-value" } });

  assert.equal((await logLines(proxy, 10)).length, 10);
  assert.ok(!proxy.logText().includes("planted"));
  for (const line of proxy.log()) {
    for (const name of Object.keys(line)) assert.ok(FIELDS.split(",").includes(name), name);
  }
});

test("each request has one line, with the size of what passed", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  await fetch(`${proxy.url}/`, { method: "POST", body: "12345" });
  const [line, ...others] = proxy.log();
  assert.equal(others.length, 0);
  const { event, level, method, status, bytesIn, bytesOut } = line ?? {};
  assert.deepEqual(
    { event, level, method, status, bytesIn, bytesOut },
    { event: "request", level: "info", method: "POST", status: 200, bytesIn: 5, bytesOut: 5 },
  );
  assert.equal(typeof line?.["durationMs"], "number");
  assert.match(String(line?.["requestId"]), /^[0-9a-f-]{36}$/);
});

test("the size of what is sealed is that of the envelopes", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const client = createSealingClient(proxy.url);
  await (await client.fetch("/", { method: "POST", body: "12345" })).text();
  const [line] = proxy.log();
  const bytesIn = Number(line?.["bytesIn"]);
  assert.ok(bytesIn > 1000);
  assert.equal(line?.["bytesOut"], Math.ceil(bytesIn / 3) * 4);
});

test("probes are in the log of those who look for them only", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url, { logLevel: "info" });
  await using debugging = await startProxy(workload.url, { logLevel: "debug" });
  for (const { port } of [proxy, debugging]) {
    for (const route of ["health", "ready", "publicKey"]) {
      await sendRaw(port, get(`/polaris-container/${route}`));
    }
  }
  assert.deepEqual(await logLines(proxy, 1), ["info request 200"]);
  assert.deepEqual(await logLines(debugging, 3), [
    "debug request 200",
    "debug request 200",
    "info request 200",
  ]);
});

test("what counts in the log is what the client got, and what it did not wait for", async () => {
  await using workload = await startTcpWorkload((connection, first) => {
    if (!first.startsWith("GET /silent")) {
      connection.send("HTTP/1.1 500 Planted\r\nconnection: close\r\ncontent-length: 4\r\n\r\noops");
    }
  });
  await using proxy = await startProxy(workload.url);
  await sendRaw(proxy.port, get("/"));
  const asked = workload.next();
  using client = openRaw(proxy.port).send(request("GET", "/silent"));
  await (await asked).until("\r\n\r\n");
  client.reset();
  await logLines(proxy, 2);
  assert.deepEqual(logOf(proxy), ["info request 500", "info request-given-up"]);
  assert.deepEqual(
    proxy.log().map(({ bytesOut, status }) => [status, bytesOut]),
    [
      [500, 4],
      [undefined, 0],
    ],
  );
});
