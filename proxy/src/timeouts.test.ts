import assert from "node:assert/strict";
import { test } from "node:test";
import { assertAlive, get, logLines, readProblem, request } from "../testing/proxy-answers.ts";
import { parseAnswers } from "../testing/raw-answers.ts";
import { openRaw, startTcpWorkload } from "../testing/raw-connection.ts";
import type { RawConnection } from "../testing/raw-connection.ts";
import { untilMetric } from "../testing/read-metrics.ts";
import { startProxy, startWorkload } from "../testing/running-proxy.ts";
import type { RunningProxy } from "../testing/running-proxy.ts";
import { responseKeyField, secureField } from "../testing/sealing.ts";

/** The answer with which the proxy loses its patience. */
async function assertTimedOut(client: RawConnection, proxy: RunningProxy): Promise<void> {
  await client.until("}");
  const answer = parseAnswers(client.text).at(-1);
  assert.ok(answer);
  assert.deepEqual(readProblem(answer), [408, "REQUEST_TIMEOUT"]);
  assert.equal((await logLines(proxy, 1)).at(-1), "warn request 408 REQUEST_TIMEOUT");
}

/** Sends a byte every few milliseconds until the connection is at its end. */
function drip(client: RawConnection): void {
  const timer = setInterval(() => void client.stream.write("x"), 10);
  void client.ended.then(() => clearInterval(timer));
}

for (const [what, bytes] of [
  ["no byte", ""],
  ["half of a request line", "GET / HTT"],
  ["headers without an end", "GET / HTTP/1.1\r\nhost: h\r\nplanted: 1\r\n"],
]) {
  test(`a client that sends ${what} has its time, and no longer`, { timeout: 10_000 }, async () => {
    await using proxy = await startProxy("http://127.0.0.1:1", { limits: { headersTimeoutMs: 100 } });
    using client = openRaw(proxy.port).send(bytes ?? "");
    await assertTimedOut(client, proxy);
    assert.equal(await client.ended, "end");
    assert.equal(proxy.log().length, 1);
    assert.ok(!proxy.logText().includes("planted"));
    await assertAlive(proxy);
  });
}

test("a client that sends its headers a byte at a time has no more of it", { timeout: 10_000 }, async () => {
  await using proxy = await startProxy("http://127.0.0.1:1", { limits: { headersTimeoutMs: 200 } });
  using client = openRaw(proxy.port).send("GET / HTTP/1.1\r\nhost: h\r\nx: ");
  drip(client);
  await assertTimedOut(client, proxy);
  await client.ended;
  assert.equal(proxy.log().length, 1);
});

test("the second request of a connection has no more time for its headers", { timeout: 10_000 }, async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url, { limits: { headersTimeoutMs: 200 } });
  using client = openRaw(proxy.port).send(request("GET", "/"));
  await client.until("0\r\n\r\n");
  client.send("GET / HTT");
  await client.until("}");
  const statuses = (await client.answers()).map(({ status }) => status);
  assert.deepEqual(statuses, [200, 408]);
  assert.deepEqual(await logLines(proxy, 2), ["info request 200", "warn request 408 REQUEST_TIMEOUT"]);
});

test("an answer that takes longer than headers may is waited for", { timeout: 10_000 }, async () => {
  await using workload = await startTcpWorkload();
  await using proxy = await startProxy(workload.url, { limits: { headersTimeoutMs: 100 } });
  const asked = workload.next();
  using slow = openRaw(proxy.port).send(get("/"));
  const connection = await asked;
  using silent = openRaw(proxy.port);
  await assertTimedOut(silent, proxy);
  connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  assert.equal((await slow.answers())[0]?.body, "ok");
});

for (const [what, drips] of [
  ["stops in the middle", false],
  ["comes a byte at a time", true],
] as const) {
  test(`a sealed body that ${what} has its time as a whole`, { timeout: 10_000 }, async () => {
    await using workload = await startWorkload();
    const limits = { bodyTimeoutMs: 200 };
    await using proxy = await startProxy(workload.url, { limits, metricsPort: 0 });
    using client = openRaw(proxy.port);
    client.send(request("POST", "/", [await secureField(), "content-length: 100000"], "planted"));
    if (drips) drip(client);
    await assertTimedOut(client, proxy);
    await untilMetric(proxy, "held_bytes", 0);
    // It may go on for as long again, so that it gets to its answer, and is cut off then.
    await client.ended;
    assert.equal(workload.seen.length, 0);
    assert.equal(proxy.log().length, 1);
    assert.ok(!proxy.logText().includes("planted"));
    await assertAlive(proxy);
  });
}

test("a body in the clear that stops in the middle is not waited for", { timeout: 10_000 }, async () => {
  await using workload = await startTcpWorkload();
  const limits = { idleTimeoutMs: 100, bodyTimeoutMs: 300 };
  await using proxy = await startProxy(workload.url, { limits });
  const asked = workload.next();
  using client = openRaw(proxy.port);
  client.send(request("POST", "/", ["content-length: 100"], "planted"));
  const connection = await asked;
  await assertTimedOut(client, proxy);
  await connection.ended;
  await client.ended;
  assert.equal(proxy.log().length, 1);
  assert.ok(!proxy.logText().includes("planted"));
  await assertAlive(proxy);
});

test("a body in the clear may come a byte at a time", { timeout: 10_000 }, async () => {
  await using workload = await startWorkload();
  const limits = { idleTimeoutMs: 200, bodyTimeoutMs: 200 };
  await using proxy = await startProxy(workload.url, { limits });
  using slow = openRaw(proxy.port);
  slow.send(request("POST", "/", ["connection: close", "transfer-encoding: chunked"]));
  const timer = setInterval(() => void slow.send("1\r\nx\r\n"), 10);
  using idle = openRaw(proxy.port).send(request("POST", "/", ["content-length: 1"]));
  await assertTimedOut(idle, proxy);
  clearInterval(timer);
  slow.send("0\r\n\r\n");
  const [answer] = await slow.answers();
  assert.equal(answer?.status, 200);
  assert.match(answer?.body ?? "", /^x{5,}$/);
});

test("a sealed answer that nobody takes is cut off", { timeout: 10_000 }, async () => {
  const size = 12 * 1024 * 1024;
  await using workload = await startWorkload((_request, response) => void response.end(Buffer.alloc(size)));
  const limits = { idleTimeoutMs: 200, maxBodyBytes: 2 * size };
  await using proxy = await startProxy(workload.url, { limits, metricsPort: 0 });
  using client = openRaw(proxy.port).send(request("GET", "/", [responseKeyField]));
  client.stream.pause();
  await untilMetric(proxy, "held_bytes", size);
  await untilMetric(proxy, "connections", 0);
  await untilMetric(proxy, "held_bytes", 0);
  client.stream.resume();
  await client.ended;
  assert.equal(parseAnswers(client.text)[0]?.isWhole, false);
});

test("a client that is slow but reads gets all of its answer", { timeout: 20_000 }, async () => {
  const size = 24 * 1024 * 1024;
  await using workload = await startWorkload((_request, response) => void response.end(Buffer.alloc(size)));
  await using proxy = await startProxy(workload.url, { limits: { idleTimeoutMs: 100 } });
  using client = openRaw(proxy.port).send(get("/"));
  client.stream.pause();
  const timer = setInterval(() => void client.stream.read(512 * 1024), 10);
  const [answer] = await client.answers();
  clearInterval(timer);
  assert.deepEqual([answer?.body.length, answer?.isWhole], [size, true]);
});
