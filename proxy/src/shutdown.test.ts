import assert from "node:assert/strict";
import { test } from "node:test";
import { get, logLines, logOf, request } from "../testing/proxy-answers.ts";
import { parseAnswers } from "../testing/raw-answers.ts";
import { openRaw, startTcpWorkload } from "../testing/raw-connection.ts";
import { untilMetric } from "../testing/read-metrics.ts";
import { startProxy, startWorkload } from "../testing/running-proxy.ts";
import { openAnswer, responseKeyField, sealBytes, secureField } from "../testing/sealing.ts";

/** Long enough to fail the test if the proxy waits for it. */
const patient = { limits: { shutdownTimeoutMs: 60_000 } };
const SWITCH = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";

test(
  "closing lets requests in flight finish, takes no new ones and ends with the last",
  { timeout: 5_000 },
  async () => {
    const { promise: asked, resolve: tellAsked } = Promise.withResolvers<void>();
    const { promise: hold, resolve: letGo } = Promise.withResolvers<void>();
    await using workload = await startWorkload((_request, response) => {
      tellAsked();
      void hold.then(() => response.end("late"));
    });
    await using proxy = await startProxy(workload.url, patient);
    using client = openRaw(proxy.port).send(request("GET", "/"));
    await asked;
    let isClosed = false;
    const closed = proxy.close().then(() => (isClosed = true));
    assert.equal(proxy.close(), proxy.close());
    await assert.rejects(fetch(proxy.url));
    assert.equal(isClosed, false);
    letGo();
    const [answer] = await client.answers();
    assert.deepEqual([answer?.body, answer?.isWhole], ["late", true]);
    await closed;
    assert.deepEqual(logOf(proxy), ["info request 200"]);
  },
);

test("connections that have nothing to do do not hold the closing up", { timeout: 5_000 }, async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url, { ...patient, metricsPort: 0 });
  using used = openRaw(proxy.port).send(request("GET", "/"));
  await used.until("0\r\n\r\n");
  using unused = openRaw(proxy.port);
  await untilMetric(proxy, "connections", 2);
  await proxy.close();
  assert.deepEqual([await used.ended, await unused.ended], ["end", "end"]);
});

test("a body and a streamed answer go on to their ends", { timeout: 5_000 }, async () => {
  await using workload = await startTcpWorkload();
  await using proxy = await startProxy(workload.url, patient);
  const asked = workload.next();
  using client = openRaw(proxy.port).send(request("POST", "/", ["content-length: 4"], "ab"));
  const connection = await asked;
  await connection.until("\r\n\r\nab");
  const closed = proxy.close();
  client.send("cd");
  await connection.until("\r\n\r\nabcd");
  connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n12\r\n");
  await client.until("12\r\n");
  connection.send("2\r\n34\r\n0\r\n\r\n");
  const [answer] = await client.answers();
  assert.deepEqual([answer?.body, answer?.isWhole], ["1234", true]);
  await closed;
});

test("a sealed request whose body is still to come is opened and answered", { timeout: 5_000 }, async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url, { ...patient, metricsPort: 0 });
  const body = await sealBytes(Buffer.from("clear"));
  const fields = [await secureField(), responseKeyField, `content-length: ${body.length}`];
  using client = openRaw(proxy.port)
    .send(request("POST", "/", fields))
    .send(body.subarray(0, 100));
  await untilMetric(proxy, "held_bytes", 100);
  const closed = proxy.close();
  client.send(body.subarray(100));
  const [answer] = await client.answers();
  assert.ok(answer);
  assert.equal(openAnswer(answer), "clear");
  await closed;
});

test("whoever asks on an open connection is told that the proxy stops", { timeout: 5_000 }, async () => {
  await using workload = await startTcpWorkload();
  await using proxy = await startProxy(workload.url, patient);
  const asked = workload.next();
  using client = openRaw(proxy.port).send(request("GET", "/"));
  const connection = await asked;
  await connection.until("\r\n\r\n");
  const closed = proxy.close();
  client.send(request("GET", "/polaris-container/ready"));
  await logLines(proxy, 1);
  connection.send("HTTP/1.1 204 No Content\r\n\r\n");
  const [, ready] = await client.answers();
  assert.equal(ready?.status, 503);
  assert.deepEqual(JSON.parse(ready?.body ?? ""), { status: "not-ready", reasons: ["STOPPING"] });
  await closed;
});

test("what does not end in time is cut", { timeout: 10_000 }, async () => {
  await using workload = await startTcpWorkload((connection, first) => {
    if (first.startsWith("GET /socket")) connection.send(SWITCH);
    if (first.startsWith("GET /stream")) connection.send("HTTP/1.1 200 OK\r\n\r\nbegun");
  });
  await using proxy = await startProxy(workload.url, { limits: { shutdownTimeoutMs: 100 } });
  using socket = openRaw(proxy.port).send(
    request("GET", "/socket", ["connection: upgrade", "upgrade: echo"]),
  );
  await socket.until("\r\n\r\n");
  using stream = openRaw(proxy.port).send(request("GET", "/stream"));
  await stream.until("begun");
  const asked = workload.next();
  using silent = openRaw(proxy.port).send(get("/silent"));
  await (await asked).until("\r\n\r\n");
  using slow = openRaw(proxy.port).send("GET / HT");

  await proxy.close();
  await Promise.all([socket, stream, silent, slow].map((client) => client.ended));
  assert.equal(parseAnswers(stream.text)[0]?.isWhole, false);
  assert.equal(silent.text, "");
  await Promise.all(workload.connections.map((connection) => connection.ended));
  assert.equal(proxy.log()[0]?.["event"], "stop-deadline");
  assert.deepEqual((await logLines(proxy, 4)).sort(), [
    "info request 101",
    "info request-given-up",
    "info request-given-up",
    "warn stop-deadline",
  ]);
});
