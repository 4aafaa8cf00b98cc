import assert from "node:assert/strict";
import { test } from "node:test";
import { createContainerKeyProvider } from "../testing/golden-vectors.ts";
import { assertAlive, get, logLines, readProblem, request } from "../testing/proxy-answers.ts";
import { parseAnswers, valuesOf } from "../testing/raw-answers.ts";
import type { RawAnswer } from "../testing/raw-answers.ts";
import { openRaw, startTcpWorkload } from "../testing/raw-connection.ts";
import { untilMetric } from "../testing/read-metrics.ts";
import { sendRaw, startProxy, startWorkload } from "../testing/running-proxy.ts";
import type { ProxyOverrides } from "../testing/running-proxy.ts";
import { openAnswer, responseKeyField, sealBytes, secureField } from "../testing/sealing.ts";
import type { KeyProvider } from "./keys/key-provider.ts";
import { createOperationQueue } from "./keys/operation-queue.ts";

const MIB = 1024 * 1024;
const secure = await secureField();
const secureHeader = secure.slice("polaris-secure: ".length);

/** A proxy whose gauges can be watched. */
const startWatched = (url: string, limits: ProxyOverrides["limits"], others: ProxyOverrides = {}) =>
  startProxy(url, { ...others, metricsPort: 0, limits: { ...limits } });

function assertOverloaded(answer: RawAnswer | undefined): void {
  assert.ok(answer);
  assert.deepEqual(readProblem(answer), [503, "OVERLOADED"]);
  assert.deepEqual(valuesOf(answer, "retry-after"), ["1"]);
}

test("sealed bodies above the limit are refused, announced or not, and at the limit taken", async () => {
  await using workload = await startWorkload();
  const body = new Uint8Array(await sealBytes(Buffer.alloc(100_000, "x")));
  await using proxy = await startProxy(workload.url, { limits: { maxBodyBytes: body.length } });
  const headers = { "polaris-secure": secureHeader };
  const post = (content: Uint8Array<ArrayBuffer> | ReadableStream) =>
    fetch(proxy.url, { method: "POST", headers, body: content, duplex: "half" });
  const stream = (bytes: Uint8Array<ArrayBuffer>) => new Blob([bytes]).stream();

  for (const content of [body, stream(body)]) {
    const response = await post(content);
    assert.equal(response.status, 200);
    assert.equal((await response.text()).length, 100_000);
  }
  for (const size of [body.length + 1, 5_000_000]) {
    for (const content of [Buffer.alloc(size), stream(Buffer.alloc(size))]) {
      const response = await post(content);
      assert.equal(response.status, 413);
      assert.equal(response.headers.get("polaris-error"), "BODY_TOO_LARGE");
      await response.text();
    }
  }
  assert.equal(workload.seen.length, 2);
});

test(
  "100 MiB where 32 MiB is the limit: refused before the first byte, or at the limit",
  { timeout: 30_000 },
  async () => {
    await using proxy = await startWatched("http://127.0.0.1:1", { maxBodyBytes: 32 * MIB });
    using announced = openRaw(proxy.port);
    announced.send(request("POST", "/", [secure, `content-length: ${100 * MIB}`]));
    await announced.until("}");
    const [answer] = parseAnswers(announced.text);
    assert.ok(answer);
    assert.deepEqual(readProblem(answer), [413, "BODY_TOO_LARGE"]);
    announced.stream.destroy();

    using streamed = openRaw(proxy.port);
    streamed.send(request("POST", "/", [secure, "transfer-encoding: chunked"]));
    const chunk = Buffer.from(`${MIB.toString(16)}\r\n${"x".repeat(MIB)}\r\n`);
    for (let sent = 0; sent < 100; sent += 1) {
      await new Promise((resolve) => streamed.stream.write(chunk, resolve));
    }
    // What comes behind the limit is taken and thrown away, so that the client gets to its answer and to its next request.
    const [refused, next] = await streamed.send(`0\r\n\r\n${get("/polaris-container/health")}`).answers();
    assert.ok(refused);
    assert.deepEqual(readProblem(refused), [413, "BODY_TOO_LARGE"]);
    assert.equal(next?.status, 200);
    await untilMetric(proxy, "held_bytes", 0);
    assert.deepEqual(
      (await logLines(proxy, 2)).slice(0, 2),
      Array(2).fill("warn request 413 BODY_TOO_LARGE"),
    );
  },
);

test("bodies in the clear have no limit", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url, {
    limits: { maxBodyBytes: 1000, maxBufferedBytes: 1000 },
  });
  const body = "x".repeat(5_000_000);
  const response = await fetch(proxy.url, { method: "POST", body });
  assert.equal(await response.text(), body);
});

test("answers that are too long to be sealed are refused", async () => {
  let length = 1000;
  await using workload = await startWorkload((_request, response) => void response.end("x".repeat(length)));
  await using proxy = await startProxy(workload.url, { limits: { maxBodyBytes: 1000 } });
  assert.equal(openAnswer(await sendRaw(proxy.port, get("/", responseKeyField))).length, 1000);
  length = 1001;
  const refused = await sendRaw(proxy.port, get("/", responseKeyField));
  assert.deepEqual(readProblem(refused), [502, "WORKLOAD_RESPONSE_INVALID"]);
  assert.deepEqual(await logLines(proxy, 2), [
    "info request 200",
    "error request 502 WORKLOAD_RESPONSE_INVALID",
  ]);
});

test("sealed bodies share one memory, and give their part back", async () => {
  await using workload = await startWorkload();
  await using proxy = await startWatched(workload.url, { maxBufferedBytes: 100_000 });
  const body = await sealBytes(Buffer.alloc(60_000, "x"));
  const post = request("POST", "/", ["connection: close", secure, `content-length: ${body.length}`]);
  using first = openRaw(proxy.port).send(post).send(body.subarray(0, -1));
  await untilMetric(proxy, "held_bytes", body.length - 1);

  assertOverloaded(await sendRaw(proxy.port, Buffer.concat([Buffer.from(post), body])));
  await untilMetric(proxy, "held_bytes", body.length - 1);

  first.send(body.subarray(-1));
  const [answer] = await first.answers();
  assert.equal(answer?.body.length, 60_000);
  await untilMetric(proxy, "held_bytes", 0);

  using third = openRaw(proxy.port).send(post).send(body.subarray(0, -1));
  await untilMetric(proxy, "held_bytes", body.length - 1);
  third.reset();
  await untilMetric(proxy, "held_bytes", 0);
  assert.equal((await sendRaw(proxy.port, Buffer.concat([Buffer.from(post), body]))).status, 200);
  assert.deepEqual(await logLines(proxy, 4), [
    "error request 503 OVERLOADED",
    "info request 200",
    "info request-given-up",
    "info request 200",
  ]);
});

test("a sealed answer that nobody takes is still held", { timeout: 20_000 }, async () => {
  await using workload = await startWorkload(
    (_request, response) => void response.end(Buffer.alloc(12 * MIB)),
  );
  await using proxy = await startWatched(workload.url, {
    maxBodyBytes: 16 * MIB,
    maxBufferedBytes: 20 * MIB,
  });
  const ask = get("/", responseKeyField);
  using first = openRaw(proxy.port).send(ask);
  first.stream.pause();
  await logLines(proxy, 1);
  await untilMetric(proxy, "held_bytes", 12 * MIB);
  assertOverloaded(await sendRaw(proxy.port, ask));
  first.reset();
  await untilMetric(proxy, "held_bytes", 0);
  assert.equal(openAnswer(await sendRaw(proxy.port, ask)).length, 12 * MIB);
});

test("connections above the limit are told so, and those further above are not taken", async () => {
  await using workload = await startWorkload();
  await using proxy = await startWatched(workload.url, { maxConnections: 2 });
  using first = openRaw(proxy.port);
  using second = openRaw(proxy.port);
  await untilMetric(proxy, "connections", 2);
  for (const path of ["/", "/polaris-container/health"]) {
    using third = openRaw(proxy.port).send(request("GET", path));
    const [refused, ...others] = await third.answers();
    assertOverloaded(refused);
    assert.equal(others.length, 0);
  }
  await untilMetric(proxy, "connections", 2);

  first.stream.destroy();
  await untilMetric(proxy, "connections", 1);
  assert.equal((await sendRaw(proxy.port, get("/"))).status, 200);

  // 64 are told so at the same time.
  await untilMetric(proxy, "connections", 1);
  const many = Array.from({ length: 65 }, () => openRaw(proxy.port));
  await untilMetric(proxy, "connections", 66);
  using cut = openRaw(proxy.port).send(get("/"));
  await cut.ended;
  assert.equal(cut.text, "");
  for (const connection of [second, ...many]) connection.stream.destroy();
  await untilMetric(proxy, "connections", 0);
  assert.equal((await sendRaw(proxy.port, get("/"))).status, 200);
});

test("a connection above the limit gets no other protocol either", async () => {
  await using workload = await startTcpWorkload();
  await using proxy = await startWatched(workload.url, { maxConnections: 1 });
  using first = openRaw(proxy.port);
  await untilMetric(proxy, "connections", 1);
  using second = openRaw(proxy.port).send(request("GET", "/", ["connection: upgrade", "upgrade: echo"]));
  assertOverloaded((await second.answers())[0]);
  assert.equal(workload.connections.length, 0);
  first.stream.destroy();
});

test("requests above the limit are refused, but for the proxy's own routes, until there is a place", async () => {
  const { promise: asked, resolve: tellAsked } = Promise.withResolvers<void>();
  const { promise: hold, resolve: letGo } = Promise.withResolvers<void>();
  await using workload = await startWorkload(async (_request, response) => {
    tellAsked();
    await hold;
    response.end("late");
  });
  await using proxy = await startProxy(workload.url, { limits: { maxRequests: 1 } });
  const first = sendRaw(proxy.port, get("/"));
  await asked;
  assertOverloaded(await sendRaw(proxy.port, get("/")));
  assertOverloaded(await sendRaw(proxy.port, get("/", secure)));
  await assertAlive(proxy);
  letGo();
  assert.equal((await first).body, "late");
  assert.equal((await sendRaw(proxy.port, get("/"))).status, 200);
  const lines = await logLines(proxy, 5);
  assert.deepEqual(lines.slice(0, 2), Array(2).fill("error request 503 OVERLOADED"));
});

test(
  "a request that is refused for its body gets to its answer while it still sends",
  { timeout: 20_000 },
  async () => {
    await using workload = await startWorkload();
    await using proxy = await startProxy(workload.url, { limits: { maxRequests: 0 } });
    const body = "x".repeat(8 * MIB);
    using client = openRaw(proxy.port).send(request("POST", "/", [`content-length: ${body.length}`], body));
    client.send(get("/polaris-container/health"));
    const [refused, health] = await client.answers();
    assertOverloaded(refused);
    assert.equal(health?.status, 200);
  },
);

test("unwraps above the queue are refused, until there is a place", async () => {
  const container = await createContainerKeyProvider();
  const { promise: hold, resolve: letGo } = Promise.withResolvers<void>();
  const operations = createOperationQueue(["the only one"], 1);
  const keys: KeyProvider = {
    ...container,
    privateOperations: () => operations.counts(),
    unwrap: (wrapped, keyId, signal) =>
      operations.run(async () => {
        await hold;
        return await container.unwrap(wrapped, keyId, signal);
      }, signal),
  };
  await using workload = await startWorkload();
  await using proxy = await startWatched(workload.url, {}, { keys });
  // One part is two unwraps: one that runs and one that waits.
  const first = sendRaw(proxy.port, get("/", secure));
  await untilMetric(proxy, "private_operations_waiting", 1);
  assertOverloaded(await sendRaw(proxy.port, get("/", secure)));
  assert.equal((await sendRaw(proxy.port, get("/"))).status, 200);
  letGo();
  assert.equal((await first).status, 200);
  await untilMetric(proxy, "private_operations_running", 0);
  assert.equal((await sendRaw(proxy.port, get("/", secure))).status, 200);
});
