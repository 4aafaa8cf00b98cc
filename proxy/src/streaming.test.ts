import assert from "node:assert/strict";
import { once } from "node:events";
import { request as sendRequest } from "node:http";
import type { IncomingMessage } from "node:http";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import type { Readable } from "node:stream";
import { test } from "node:test";
import { writeLarge } from "../testing/large-body.ts";
import { assertAlive, get, logLines, logOf, readProblem, request } from "../testing/proxy-answers.ts";
import { parseAnswers } from "../testing/raw-answers.ts";
import { openRaw, startTcpWorkload } from "../testing/raw-connection.ts";
import { sendRaw, startProxy, startWorkload } from "../testing/running-proxy.ts";

const SIZE = 64 * 1024 * 1024;

/** What two pairs of socket buffers may hold; the proxy itself holds next to nothing. */
const IN_FLIGHT = SIZE / 2;

async function countBytes(stream: Readable): Promise<number> {
  let count = 0;
  for await (const chunk of stream) count += (chunk as Buffer).length;
  return count;
}

test("64 MiB go through in both directions", { timeout: 30_000 }, async () => {
  await using workload = await startTcpWorkload((connection, first) => {
    if (first.startsWith("GET")) {
      connection.send(`HTTP/1.1 200 OK\r\ncontent-length: ${SIZE}\r\n\r\n`);
      writeLarge(connection.stream, SIZE);
    }
  });
  await using proxy = await startProxy(workload.url);
  const [answer] = (await once(sendRequest(proxy.url).end(), "response")) as [IncomingMessage];
  assert.equal(await countBytes(answer), SIZE);

  let uploaded = 0;
  await using sink = await startCountingWorkload((count) => (uploaded = count));
  await using before = await startProxy(sink.url);
  const upload = sendRequest(before.url, { method: "POST", headers: { "content-length": SIZE } });
  writeLarge(upload as unknown as Socket, SIZE);
  const [received] = (await once(upload, "response")) as [IncomingMessage];
  assert.equal(received.statusCode, 204);
  assert.equal(uploaded, SIZE);
  received.resume();
  const lines = [...proxy.log(), ...before.log()].map(({ bytesIn, bytesOut }) => [bytesIn, bytesOut]);
  assert.deepEqual(lines, [
    [0, SIZE],
    [SIZE, 0],
  ]);
});

/** Unlike the other workloads, keeps nothing of what it gets. */
async function startCountingWorkload(tell: (count: number) => void) {
  const server = createServer((socket) => {
    let count = 0;
    let headBytes = 0;
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      if (headBytes === 0) headBytes = chunk.indexOf("\r\n\r\n") + 4;
      count += chunk.length;
      if (count - headBytes < SIZE) return;
      tell(count - headBytes);
      socket.end("HTTP/1.1 204 No Content\r\n\r\n");
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.close();
    },
  };
}

test(
  "a client that stops reading stops the workload, and is cut off in the end",
  { timeout: 30_000 },
  async () => {
    await using workload = await startTcpWorkload();
    await using proxy = await startProxy(workload.url, { limits: { idleTimeoutMs: 300 } });
    const client = connect(proxy.port, "127.0.0.1").pause();
    client.on("error", () => undefined);
    const asked = workload.next();
    client.write(get("/"));
    const { stream, ended } = await asked;
    stream.write("HTTP/1.1 200 OK\r\n\r\n");
    const body = writeLarge(stream, SIZE);
    await Promise.race([ended, body.taken]);
    assert.ok(body.writtenBytes < IN_FLIGHT, `${body.writtenBytes} bytes were taken`);
    client.destroy();
    assert.deepEqual(await logLines(proxy, 1), ["info request-given-up"]);
    await assertAlive(proxy);
  },
);

test(
  "a workload that stops reading stops the client, and the client is told",
  { timeout: 30_000 },
  async () => {
    await using workload = await startTcpWorkload(({ stream }) => void stream.pause());
    await using proxy = await startProxy(workload.url, { workload: { timeoutMs: 300 } });
    using client = openRaw(proxy.port).send(request("POST", "/", [`content-length: ${SIZE}`]));
    const body = writeLarge(client.stream, SIZE);
    await Promise.race([client.until("\r\n\r\n"), body.taken]);
    assert.ok(body.writtenBytes < IN_FLIGHT, `${body.writtenBytes} bytes were taken`);
    await client.until("}");
    const [answer] = parseAnswers(client.text);
    assert.ok(answer);
    assert.deepEqual(readProblem(answer), [504, "WORKLOAD_TIMEOUT"]);
    assert.deepEqual(logOf(proxy), ["error request 504 WORKLOAD_TIMEOUT"]);
  },
);

test("each event reaches the client when the workload sends it", async () => {
  await using workload = await startTcpWorkload();
  await using proxy = await startProxy(workload.url);
  const asked = workload.next();
  using client = openRaw(proxy.port).send(get("/events", "accept: text/event-stream"));
  const connection = await asked;
  await connection.until("\r\n\r\n");
  connection.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n");
  await client.until("text/event-stream\r\n");
  for (const event of ["data: 1\n\n", "data: 2\n\n"]) {
    connection.send(event);
    await client.until(event);
  }
  assert.equal(proxy.log().length, 0);
  connection.stream.end();
  const [answer] = await client.answers();
  assert.equal(answer?.body, "data: 1\n\ndata: 2\n\n");
});

test("a request and its answer go on at the same time", async () => {
  await using workload = await startTcpWorkload();
  await using proxy = await startProxy(workload.url);
  const asked = workload.next();
  using client = openRaw(proxy.port);
  client.send(request("POST", "/", ["connection: close", "transfer-encoding: chunked"], "4\r\nping\r\n"));
  const connection = await asked;
  await connection.until("ping");
  connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npong\r\n");
  await client.until("pong");
  client.send("4\r\nmore\r\n0\r\n\r\n");
  await connection.until("more\r\n0\r\n\r\n");
  connection.send("3\r\nend\r\n0\r\n\r\n");
  const [answer] = await client.answers();
  assert.deepEqual([answer?.body, answer?.isWhole], ["pongend", true]);
});

test(
  "a body that comes slowly may take longer than the workload's patience",
  { timeout: 10_000 },
  async () => {
    await using workload = await startTcpWorkload();
    await using proxy = await startProxy(workload.url, { workload: { timeoutMs: 200 } });
    const asked = workload.next();
    using client = openRaw(proxy.port).send(request("POST", "/", ["connection: close", "content-length: 2"]));
    client.send("x");
    const connection = await asked;
    await connection.until("\r\n\r\nx");
    // Another request, begun later, is over because the workload never answers.
    assert.equal((await sendRaw(proxy.port, get("/"))).status, 504);
    client.send("y");
    await connection.until("\r\n\r\nxy");
    connection.send("HTTP/1.1 204 No Content\r\n\r\n");
    const [answer] = await client.answers();
    assert.equal(answer?.status, 204);
  },
);

for (const closes of [false, true]) {
  const how = closes ? "and closes" : "and reads no more";
  test(
    `a workload that answers before the end of the body ${how} is heard`,
    { timeout: 20_000 },
    async () => {
      await using workload = await startTcpWorkload((connection, first) => {
        if (first.startsWith("GET")) {
          connection.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext");
          return;
        }
        connection.stream.pause();
        connection.send("HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\ntoo");
        if (closes) connection.stream.end();
      });
      await using proxy = await startProxy(workload.url);
      const size = 16 * 1024 * 1024;
      using client = openRaw(proxy.port).send(request("POST", "/", [`content-length: ${size}`]));
      const body = writeLarge(client.stream, size);
      await client.until("\r\n\r\ntoo");
      // Whatever else it sends is read, so that it gets to its next request.
      await body.taken;
      client.send(get("/"));
      const answers = await client.answers();
      assert.deepEqual(
        answers.map(({ status, body: text }) => [status, text]),
        [
          [413, "too"],
          [200, "next"],
        ],
      );
      assert.equal(await client.ended, "end");
      assert.deepEqual(logOf(proxy), ["info request 413", "info request 200"]);
    },
  );
}

test("a client that resets in the middle of its body ends the request at the workload, too", async () => {
  await using workload = await startTcpWorkload();
  await using proxy = await startProxy(workload.url);
  const asked = workload.next();
  using client = openRaw(proxy.port);
  client.send(request("POST", "/", ["content-length: 10"], "plant"));
  const connection = await asked;
  await connection.until("plant");
  client.reset();
  await connection.ended;
  assert.ok(connection.text.endsWith("\r\n\r\nplant"));
  assert.deepEqual(await logLines(proxy, 1), ["info request-given-up"]);
  assert.ok(!proxy.logText().includes("plant"));
  await assertAlive(proxy);
});

test("a client that goes away frees the workload, and nobody answers it", async () => {
  await using workload = await startTcpWorkload();
  await using proxy = await startProxy(workload.url);
  for (const leave of ["reset", "close"]) {
    const asked = workload.next();
    using client = openRaw(proxy.port).send(get("/"));
    const connection = await asked;
    await connection.until("\r\n\r\n");
    if (leave === "reset") client.reset();
    else client.stream.destroy();
    await connection.ended;
  }
  assert.deepEqual(await logLines(proxy, 2), ["info request-given-up", "info request-given-up"]);
});

test("a client that goes away in the middle of an answer frees the workload", async () => {
  await using workload = await startTcpWorkload((connection) => {
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun");
  });
  await using proxy = await startProxy(workload.url);
  const asked = workload.next();
  using client = openRaw(proxy.port).send(get("/"));
  const connection = await asked;
  await client.until("begun");
  client.reset();
  await connection.ended;
  assert.deepEqual(await logLines(proxy, 1), ["info request-given-up"]);
  await assertAlive(proxy);
});

test("the workload's connections are used again", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  for (const body of ["1", "2", "3"]) {
    const answer = await fetch(proxy.url, { method: "POST", body });
    assert.equal(await answer.text(), body);
  }
  assert.equal(new Set(workload.seen.map(({ peerPort }) => peerPort)).size, 1);
});
