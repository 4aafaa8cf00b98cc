import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import { writeLarge } from "../testing/large-body.ts";
import { assertAlive, detailOf, logLines, logOf, readProblem, request } from "../testing/proxy-answers.ts";
import { parseAnswers, valuesOf } from "../testing/raw-answers.ts";
import { openRaw, startTcpWorkload } from "../testing/raw-connection.ts";
import type { RawConnection } from "../testing/raw-connection.ts";
import { startProxy, startWorkload } from "../testing/running-proxy.ts";
import type { RunningProxy } from "../testing/running-proxy.ts";
import { responseKeyField, secureField } from "../testing/sealing.ts";

const SWITCH =
  "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\nx-kept: 1\r\n\r\n";

function askUpgrade(protocol = "echo", ...fields: string[]): string {
  return request("GET", "/socket", ["connection: upgrade", `upgrade: ${protocol}`, ...fields]);
}

/** A client and a workload that speak another protocol through a proxy. */
async function openTunnel(proxy: RunningProxy, workload: { next(): Promise<RawConnection> }) {
  const asked = workload.next();
  const client = openRaw(proxy.port).send(askUpgrade());
  const connection = await asked;
  await connection.until("\r\n\r\n");
  connection.send(SWITCH);
  await client.until("\r\n\r\n");
  return { client, connection };
}

test("another protocol goes through byte for byte, both ways and from the first byte on", async () => {
  await using workload = await startTcpWorkload();
  await using proxy = await startProxy(workload.url);
  const asked = workload.next();
  const fields = ["x-sent: 1", "keep-alive: 1", "polaris-forged: 1", "te: trailers"];
  using client = openRaw(proxy.port).send(`${askUpgrade("echo", ...fields)}\0early`);
  const connection = await asked;
  await connection.until("\r\n\r\n");
  connection.send(`${SWITCH}\xffwelcome`);
  await client.until("\xffwelcome");
  await connection.until("\0early");
  const [head, ...rest] = connection.text.split("\r\n\r\n");
  assert.deepEqual(head?.toLowerCase().split("\r\n"), [
    "get /socket http/1.1",
    `host: ${new URL(workload.url).host}`,
    "connection: upgrade",
    "upgrade: echo",
    "x-sent: 1",
    "x-forwarded-for: 127.0.0.1",
  ]);
  assert.deepEqual(rest, ["\0early"]);
  assert.ok(client.text.startsWith("HTTP/1.1 101 Switching Protocols\r\n"));
  assert.match(client.text, /\r\nupgrade: echo\r\n[^]*x-kept: 1\r\n/);

  client.send("one");
  await connection.until("earlyone");
  connection.send("two");
  await client.until("two");
  assert.equal(proxy.log().length, 0);
  client.stream.end();
  await connection.ended;
  connection.stream.end();
  assert.deepEqual(await logLines(proxy, 1), ["info request 101"]);
  const [line] = proxy.log();
  assert.deepEqual([line?.["bytesIn"], line?.["bytesOut"]], ["\0earlyone".length, "\xffwelcometwo".length]);
});

/** A WebSocket server of a few lines (RFC 6455 §4.2.2, §5.2): says back what it gets in one short frame. */
function answerWebSocket(connection: RawConnection, first: string): void {
  const key = /^sec-websocket-key: (.+)\r$/im.exec(first)?.[1] ?? "";
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  connection.send(
    `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
  );
  connection.stream.on("data", (frame: Buffer) => {
    const opcode = frame.readUInt8(0) & 15;
    const length = frame.readUInt8(1);
    assert.ok(length > 128, "frames of clients are masked");
    const mask = frame.subarray(2, 6);
    const text = frame.subarray(6, 6 + length - 128).map((byte, index) => byte ^ (mask[index % 4] ?? 0));
    connection.send(Buffer.concat([Buffer.from([128 | opcode, text.length]), text]));
    if (opcode === 8) connection.stream.end();
  });
}

test("a WebSocket works as if the proxy were not there", async () => {
  await using workload = await startTcpWorkload(answerWebSocket);
  await using proxy = await startProxy(workload.url);
  const socket = new WebSocket(`${proxy.url.replace("http", "ws")}/chat?room=1`);
  await once(socket, "open");
  for (const text of ["hello", "n\u00e4\u00efve"]) {
    const said = once(socket, "message") as Promise<[MessageEvent]>;
    socket.send(text);
    assert.equal((await said)[0].data, text);
  }
  const closed = once(socket, "close") as Promise<[CloseEvent]>;
  socket.close(1000, "done");
  const [{ code, reason, wasClean }] = await closed;
  assert.deepEqual([code, reason, wasClean], [1000, "done", true]);
  assert.match(workload.connections[0]?.text ?? "", /^GET \/chat\?room=1 HTTP\/1\.1\r\n/);
  assert.deepEqual(await logLines(proxy, 1), ["info request 101"]);
});

test("a workload that does not take a protocol is heard", async () => {
  await using workload = await startTcpWorkload((connection) => {
    connection.send(
      "HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\nx-why: 1\r\nkeep-alive: 1\r\ncontent-length: 3\r\n\r\nwhy",
    );
  });
  await using proxy = await startProxy(workload.url);
  using client = openRaw(proxy.port).send(askUpgrade());
  const [answer, ...others] = await client.answers();
  assert.deepEqual([answer?.status, answer?.body, others.length], [403, "why", 0]);
  assert.deepEqual(answer?.fields, [
    ["content-type", "text/plain"],
    ["x-why", "1"],
    ["connection", "close"],
  ]);
  assert.deepEqual(await logLines(proxy, 1), ["info request 403"]);
});

test("a protocol is refused where anything has to be sealed", async () => {
  await using workload = await startTcpWorkload();
  const sealing = { requests: "required", responses: "optional" } as const;
  await using requests = await startProxy(workload.url, { encryption: sealing });
  await using responses = await startProxy(workload.url, {
    encryption: { requests: "optional", responses: "required" },
  });
  await using optional = await startProxy(workload.url);
  const cases = [
    [requests, []],
    [responses, []],
    [requests, [await secureField()]],
    [optional, [await secureField()]],
    [optional, [responseKeyField]],
  ] as const;
  for (const [proxy, fields] of cases) {
    const before = proxy.log().length;
    using client = openRaw(proxy.port).send(askUpgrade("websocket", ...fields));
    await client.until("}");
    const [answer] = parseAnswers(client.text);
    assert.ok(answer);
    assert.deepEqual(readProblem(answer), [400, "REQUEST_INVALID"]);
    assert.match(String(detailOf(answer)), /^another protocol cannot be sealed/);
    assert.deepEqual(logOf(proxy).slice(before), ["warn request 400 REQUEST_INVALID"]);
    await assertAlive(proxy);
  }
  assert.equal(workload.connections.length, 0);
});

test("only GET without a body may ask for another protocol", async () => {
  await using workload = await startTcpWorkload();
  await using proxy = await startProxy(workload.url);
  const asking = ["connection: upgrade", "upgrade: websocket"];
  for (const bytes of [
    request("POST", "/", [...asking, "content-length: 4"], "data"),
    request("POST", "/", asking),
    request("GET", "/", [...asking, "content-length: 4"], "data"),
    request("GET", "/", [...asking, "transfer-encoding: chunked"], "0\r\n\r\n"),
  ]) {
    using client = openRaw(proxy.port).send(bytes);
    await client.until("}");
    const [answer] = parseAnswers(client.text);
    assert.ok(answer);
    assert.deepEqual(readProblem(answer), [400, "REQUEST_INVALID"]);
  }
  assert.deepEqual(await logLines(proxy, 4), Array(4).fill("warn request 400 REQUEST_INVALID"));
  assert.equal(workload.connections.length, 0);
});

test("the offer of HTTP/2 is passed over, and the connection goes on", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const offer = request("GET", "/", [
    "connection: upgrade, http2-settings",
    "upgrade: h2c",
    "http2-settings: AAMAAABk",
  ]);
  using client = openRaw(proxy.port).send(offer);
  await client.until("0\r\n\r\n");
  client.send(request("GET", "/", ["connection: close"]));
  const statuses = (await client.answers()).map(({ status }) => status);
  assert.deepEqual(statuses, [200, 200]);
  const names = workload.seen[0]?.fields.map(([name]) => name);
  assert.deepEqual(names, ["host", "connection", "x-forwarded-for"]);
});

test("the proxy's own routes speak HTTP only", async () => {
  await using proxy = await startProxy("http://127.0.0.1:1");
  using client = openRaw(proxy.port);
  client.send(
    request("GET", "/polaris-container/health", ["connection: upgrade, close", "upgrade: websocket"]),
  );
  const [answer] = await client.answers();
  assert.deepEqual([answer?.status, answer?.body], [200, '{"status":"ok"}']);
});

test("a side that has said all still hears the other", async () => {
  await using workload = await startTcpWorkload();
  await using proxy = await startProxy(workload.url);
  const { client, connection } = await openTunnel(proxy, workload);
  client.send("question").stream.end();
  await connection.ended;
  assert.ok(connection.text.endsWith("question"));
  connection.send("answer").stream.end();
  await client.until("answer");
  assert.equal(await client.ended, "end");
  assert.deepEqual(await logLines(proxy, 1), ["info request 101"]);
});

test("a workload that ends first lets everybody go", async () => {
  await using workload = await startTcpWorkload();
  await using proxy = await startProxy(workload.url);
  const { client, connection } = await openTunnel(proxy, workload);
  connection.send("bye").stream.end();
  assert.equal(await client.ended, "end");
  assert.ok(client.text.endsWith("bye"));
  assert.deepEqual(await logLines(proxy, 1), ["info request 101"]);
});

test("what one side breaks off, breaks off on the other", async () => {
  await using workload = await startTcpWorkload();
  await using proxy = await startProxy(workload.url);
  const first = await openTunnel(proxy, workload);
  first.client.send("planted").reset();
  await first.connection.ended;
  await logLines(proxy, 1);

  const second = await openTunnel(proxy, workload);
  second.connection.send("planted");
  await second.client.until("planted");
  second.connection.reset();
  assert.equal(await second.client.ended, "ECONNRESET");
  assert.deepEqual(await logLines(proxy, 2), ["info request 101", "info request 101"]);
  assert.ok(!proxy.logText().includes("planted"));
  await assertAlive(proxy);
});

test("a client that leaves before the workload has answered leaves nothing behind", async () => {
  await using workload = await startTcpWorkload();
  await using proxy = await startProxy(workload.url);
  const asked = workload.next();
  using client = openRaw(proxy.port).send(askUpgrade());
  const connection = await asked;
  await connection.until("\r\n\r\n");
  client.reset();
  await connection.ended;
  assert.deepEqual(await logLines(proxy, 1), ["info request-given-up"]);
});

const BAD_WORKLOADS: readonly [what: string, answer: string | undefined, expected: [number, string]][] = [
  ["closes", "", [502, "WORKLOAD_UNREACHABLE"]],
  ["never answers", undefined, [504, "WORKLOAD_TIMEOUT"]],
  ["talks no HTTP", "planted\r\n\r\n", [502, "WORKLOAD_RESPONSE_INVALID"]],
  [
    "breaks off its refusal",
    "HTTP/1.1 403 Forbidden\r\ncontent-length: 9\r\n\r\nplant",
    [502, "WORKLOAD_RESPONSE_INVALID"],
  ],
  [
    "refuses without end",
    `HTTP/1.1 403 Forbidden\r\ncontent-length: 100000\r\n\r\n${"planted".repeat(10_000)}`,
    [502, "WORKLOAD_RESPONSE_INVALID"],
  ],
];

for (const [what, answer, [status, code]] of BAD_WORKLOADS) {
  test(`a workload that ${what} when it is asked for a protocol is our fault`, async () => {
    await using workload = await startTcpWorkload((connection) => {
      if (answer === undefined) return;
      connection.send(answer).stream.end();
    });
    await using proxy = await startProxy(workload.url, { workload: { timeoutMs: 50 } });
    using client = openRaw(proxy.port).send(askUpgrade());
    const [problem] = await client.answers();
    assert.ok(problem);
    assert.deepEqual(readProblem(problem), [status, code]);
    assert.ok(!(problem.body + proxy.logText()).includes("planted"));
    assert.deepEqual(await logLines(proxy, 1), [`error request ${status} ${code}`]);
    await assertAlive(proxy);
  });
}

test("a tunnel takes a place among the requests, and gives it back", async () => {
  await using workload = await startTcpWorkload();
  await using proxy = await startProxy(workload.url, { limits: { maxRequests: 1 } });
  const { client, connection } = await openTunnel(proxy, workload);
  using second = openRaw(proxy.port).send(askUpgrade());
  const [refused] = await second.answers();
  assert.ok(refused);
  assert.deepEqual(readProblem(refused), [503, "OVERLOADED"]);
  assert.deepEqual(valuesOf(refused, "retry-after"), ["1"]);
  client.reset();
  await connection.ended;
  await logLines(proxy, 2);
  const third = await openTunnel(proxy, workload);
  third.client.reset();
  await third.connection.ended;
});

test("a reader that stops in another protocol stops the writer", { timeout: 20_000 }, async () => {
  await using workload = await startTcpWorkload();
  await using proxy = await startProxy(workload.url, { limits: { shutdownTimeoutMs: 500 } });
  const { client, connection } = await openTunnel(proxy, workload);
  client.stream.pause();
  const size = 64 * 1024 * 1024;
  const body = writeLarge(connection.stream, size);
  // Nobody counts the time of a tunnel; only the end of the proxy cuts it.
  await Promise.race([proxy.close(), body.taken]);
  assert.ok(body.writtenBytes < size / 2, `${body.writtenBytes} bytes were taken`);
  client.stream.destroy();
});
