import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openHttp2 } from "../testing/http2-client.ts";
import { get, readProblem } from "../testing/proxy-answers.ts";
import { openRaw, startTcpWorkload } from "../testing/raw-connection.ts";
import { untilMetric } from "../testing/read-metrics.ts";
import { sendRaw, startProxy, startWorkload } from "../testing/running-proxy.ts";
import { loadTlsIdentity } from "./tls-identity.ts";

const ATTESTATION = `/polaris-container/attestation?nonce=${"A".repeat(43)}`;

test("a client that does not take the proxy's own answers is cut off", { timeout: 10_000 }, async () => {
  await using proxy = await startProxy("http://127.0.0.1:1", {
    metricsPort: 0,
    limits: { idleTimeoutMs: 200 },
  });
  using client = openRaw(proxy.port);
  client.stream.pause();
  // More answers than the buffers on the way take.
  client.send("GET /polaris-container/publicKey HTTP/1.1\r\nhost: a\r\n\r\n".repeat(20_000));
  await untilMetric(proxy, "connections", 1);
  await untilMetric(proxy, "connections", 0);
});

test("requests for the proxy's own documents have places of their own", async () => {
  const folder = await mkdtemp(join(tmpdir(), "polaris-own-"));
  const tokenAgentSocket = join(folder, "agent.sock");
  const asking = new Set<Socket>();
  const { promise: isFull, resolve: tellFull } = Promise.withResolvers<void>();
  const agent = createServer((socket) => {
    asking.add(socket.on("error", () => undefined));
    if (asking.size === 64) tellFull();
  });
  agent.listen(tokenAgentSocket);
  await once(agent, "listening");
  try {
    await using workload = await startWorkload();
    await using proxy = await startProxy(workload.url, { tokenAgentSocket, limits: { maxRequests: 1 } });
    const clients = Array.from({ length: 64 }, () => openRaw(proxy.port).send(get(ATTESTATION)));
    await isFull;
    assert.deepEqual(readProblem(await sendRaw(proxy.port, get(ATTESTATION))), [503, "OVERLOADED"]);
    assert.equal(asking.size, 64);
    assert.equal((await sendRaw(proxy.port, get("/polaris-container/health"))).status, 200);
    assert.equal((await sendRaw(proxy.port, get("/"))).status, 200);
    for (const client of clients) client[Symbol.dispose]();
  } finally {
    for (const socket of asking) socket.destroy();
    agent.close();
    await rm(folder, { recursive: true });
  }
});

test("as many requests as have places reach the workload, and readiness is told beside them", async () => {
  const { promise: allThere, resolve: tellAllThere } = Promise.withResolvers<void>();
  let count = 0;
  await using workload = await startWorkload((request, response) => {
    if (request.url === "/healthz") {
      response.end("ok");
      return;
    }
    response.write("begun");
    count += 1;
    if (count === 300) tellAllThere();
  });
  await using proxy = await startProxy(workload.url, {
    workload: { healthPath: "/healthz" },
    limits: { maxRequests: 301 },
  });
  const clients = Array.from({ length: 300 }, () => openRaw(proxy.port).send(get("/")));
  await allThere;
  assert.equal((await sendRaw(proxy.port, get("/polaris-container/ready"))).status, 200);
  for (const client of clients) client[Symbol.dispose]();
});

test("a field that a workload sends twice, or that HTTP/2 does not know, does no harm to its clients", async () => {
  const tlsIdentity = await loadTlsIdentity({ mode: "attested" });
  for (const fields of ["etag: a\r\netag: b", "http2-settings: AAAA", "location: /a\r\nlocation: /b"]) {
    await using workload = await startTcpWorkload((client) => {
      client.send(
        `HTTP/1.1 200 OK\r\n${fields}\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n${fields}\r\n\r\n`,
      );
    });
    await using proxy = await startProxy(workload.url, { tlsIdentity });
    await using client = await openHttp2(proxy.url);
    const { status, body } = await client.ask();
    assert.deepEqual([status, body], [200, "ok"], fields);
    assert.equal((await client.ask({ ":path": "/polaris-container/health" })).status, 200);
  }
});

test("a problem carries nothing of a head that could not be sent", async () => {
  const tlsIdentity = await loadTlsIdentity({ mode: "attested" });
  await using workload = await startTcpWorkload((client) => {
    client.send("HTTP/1.1 999 Odd\r\nset-cookie: session=planted\r\ncontent-length: 0\r\n\r\n");
  });
  await using proxy = await startProxy(workload.url, { tlsIdentity });
  await using client = await openHttp2(proxy.url);
  const { status, headers } = await client.ask();
  assert.deepEqual([status, headers["polaris-error"]], [502, "WORKLOAD_RESPONSE_INVALID"]);
  assert.equal(headers["set-cookie"], undefined);
});

test("after a request that is not framed as HTTP wants it, nothing more is read of its connection", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const odd = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
  const answer = await sendRaw(proxy.port, odd + get("/next"));
  assert.equal(answer.status, 400);
  assert.equal(answer.fields.find(([name]) => name === "connection")?.[1], "close");
  assert.ok(!answer.body.includes("HTTP/1.1 200"));
  assert.equal(workload.seen.length, 0);
});

test("another protocol that nobody asked for is the workload's mistake, and not a missing workload", async () => {
  await using workload = await startTcpWorkload((client) => {
    client.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
  });
  await using proxy = await startProxy(workload.url);
  const answer = await sendRaw(proxy.port, get("/"));
  assert.deepEqual(readProblem(answer), [502, "WORKLOAD_RESPONSE_INVALID"]);
});
