import assert from "node:assert/strict";
import { once } from "node:events";
import { constants } from "node:http2";
import { test } from "node:test";
import { openHttp2, readAnswer } from "../testing/http2-client.ts";
import type { Http2Answer } from "../testing/http2-client.ts";
import { writeLarge } from "../testing/large-body.ts";
import { logLines, logOf } from "../testing/proxy-answers.ts";
import { openRawTls, startTcpWorkload } from "../testing/raw-connection.ts";
import { untilMetric } from "../testing/read-metrics.ts";
import { startProxy, startWorkload } from "../testing/running-proxy.ts";
import type { ProxyOverrides } from "../testing/running-proxy.ts";
import { openAnswer, responseKey, sealBytes, secureField } from "../testing/sealing.ts";
import { loadTlsIdentity } from "./tls-identity.ts";

const { NGHTTP2_CANCEL, NGHTTP2_INTERNAL_ERROR, NGHTTP2_NO_ERROR } = constants;
const tlsIdentity = await loadTlsIdentity({ mode: "attested" });
const secure = (await secureField()).slice("polaris-secure: ".length);

const start = (url: string, overrides: ProxyOverrides = {}) => startProxy(url, { tlsIdentity, ...overrides });

function problemOf({ status, headers, body, rstCode }: Http2Answer): unknown[] {
  assert.equal(rstCode, NGHTTP2_NO_ERROR);
  assert.equal(headers["content-type"], "application/problem+json");
  const { code } = JSON.parse(body) as { code: string };
  assert.equal(headers["polaris-error"], code);
  return [status, code];
}

test("a request of HTTP/2 reaches the workload in the form of HTTP/1.1", async () => {
  await using workload = await startWorkload();
  await using proxy = await start(workload.url);
  await using client = await openHttp2(proxy.url);
  const answer = await client.ask(
    {
      ":method": "POST",
      ":path": "/a?b=1",
      ":authority": "public.example",
      cookie: ["a=1", "b=2", "c=3"],
      te: "trailers",
      "x-sent": ["1", "2"],
      "x-forwarded-for": "203.0.113.9",
      "polaris-forged": "1",
    },
    "body",
  );
  assert.deepEqual([answer.status, answer.body, answer.rstCode], [200, "body", NGHTTP2_NO_ERROR]);
  const [seen] = workload.seen;
  assert.deepEqual([seen?.method, seen?.url, seen?.body], ["POST", "/a?b=1", "body"]);
  assert.deepEqual(seen?.fields, [
    ["host", new URL(workload.url).host],
    ["connection", "keep-alive"],
    ["x-sent", "1"],
    ["x-sent", "2"],
    ["cookie", "a=1; b=2; c=3"],
    ["x-forwarded-for", "203.0.113.9, 127.0.0.1"],
    ["transfer-encoding", "chunked"],
  ]);
});

test("an answer reaches the client of HTTP/2 without what belongs to HTTP/1.1", async () => {
  await using workload = await startTcpWorkload((connection) => {
    connection.send(
      "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 201 Made\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n" +
        "connection: keep-alive, x-named\r\nx-named: 1\r\nkeep-alive: timeout=1\r\ntrailer: x-t\r\nX-Kept: 1\r\n" +
        "x-content-type-options: nosniff\r\nx-content-type-options: nosniff\r\n" +
        "transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-t: 1\r\n__proto__: p\r\n\r\n",
    );
  });
  await using proxy = await start(workload.url);
  await using client = await openHttp2(proxy.url);
  const { status, headers, interim, body, trailers, rstCode } = await client.ask();
  assert.deepEqual([status, body, rstCode], [201, "ok", NGHTTP2_NO_ERROR]);
  assert.deepEqual(
    interim.map((hint) => [hint[":status"], hint["link"]]),
    [[103, "x"]],
  );
  assert.deepEqual(headers["set-cookie"], ["a=1", "b=2"]);
  assert.deepEqual(Object.keys(headers).sort(), [
    ":status",
    "date",
    "set-cookie",
    "x-content-type-options",
    "x-kept",
  ]);
  assert.deepEqual(Object.entries(trailers), [
    ["x-t", "1"],
    ["__proto__", "p"],
  ]);
});

test("HEAD, 204, 205 and 304 have no body", async () => {
  await using workload = await startWorkload((request, response) => {
    response.writeHead(Number(request.url?.slice(1))).end();
  });
  await using proxy = await start(workload.url);
  await using client = await openHttp2(proxy.url);
  for (const [method, status] of [
    ["HEAD", 200],
    ["GET", 204],
    ["GET", 205],
    ["GET", 304],
  ] as const) {
    const answer = await client.ask({ ":method": method, ":path": `/${status}` });
    assert.deepEqual([answer.status, answer.body, answer.rstCode], [status, "", NGHTTP2_NO_ERROR]);
  }
});

test("requests on one connection are answered as they are ready", async () => {
  const { promise: hold, resolve: letGo } = Promise.withResolvers<void>();
  await using workload = await startWorkload(async (request, response) => {
    if (request.url === "/first") await hold;
    response.end(request.url);
  });
  await using proxy = await start(workload.url);
  await using client = await openHttp2(proxy.url);
  const first = client.ask({ ":path": "/first" });
  const others = await Promise.all(["/2", "/3", "/4"].map((path) => client.ask({ ":path": path })));
  assert.deepEqual(
    others.map(({ body }) => body),
    ["/2", "/3", "/4"],
  );
  letGo();
  assert.equal((await first).body, "/first");
});

test("what is sealed is opened and sealed in HTTP/2 as well", async () => {
  await using workload = await startWorkload();
  await using proxy = await start(workload.url, {
    encryption: { requests: "required", responses: "required" },
  });
  await using client = await openHttp2(proxy.url);
  const headers = { ":method": "POST", "polaris-secure": secure, "polaris-response-public-key": responseKey };
  const answer = await client.ask(headers, await sealBytes(Buffer.from("clear")));
  assert.equal(openAnswer(answer), "clear");
  assert.equal(workload.seen[0]?.body, "clear");
  assert.deepEqual(problemOf(await client.ask()), [400, "ENCRYPTION_REQUIRED"]);
});

test("what HTTP/2 takes and the proxy does not is refused in one line", async () => {
  await using workload = await startTcpWorkload();
  await using proxy = await start(workload.url);
  await using client = await openHttp2(proxy.url);
  for (const headers of [
    { ":method": "PLANTED" },
    { ":method": "TRACE" },
    { ":path": "//planted.example/" },
    { ":path": "/#planted" },
  ]) {
    assert.deepEqual(problemOf(await client.ask(headers)), [400, "REQUEST_INVALID"]);
  }
  const tunnel = client.session.request({ ":method": "CONNECT", ":authority": "planted.example:443" });
  tunnel.end();
  assert.deepEqual(problemOf(await readAnswer(tunnel)), [400, "REQUEST_INVALID"]);
  assert.deepEqual(await logLines(proxy, 5), Array(5).fill("warn request 400 REQUEST_INVALID"));
  assert.equal(proxy.log()[0]?.["method"], "unknown");
  assert.ok(!proxy.logText().toLowerCase().includes("planted"));
  assert.equal(workload.connections.length, 0);
});

test("an answer that breaks off is not taken for a whole one", async () => {
  await using workload = await startTcpWorkload((connection) => {
    connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nbegun\r\n").stream.end();
  });
  await using proxy = await start(workload.url);
  await using client = await openHttp2(proxy.url);
  const answer = await client.ask();
  assert.deepEqual([answer.status, answer.body, answer.rstCode], [200, "begun", NGHTTP2_INTERNAL_ERROR]);
  assert.deepEqual(await logLines(proxy, 1), ["error request 502 WORKLOAD_RESPONSE_INVALID"]);
  assert.equal((await client.ask({ ":path": "/polaris-container/health" })).status, 200);
});

test("a client that cancels frees the workload, and its connection goes on", async () => {
  await using workload = await startTcpWorkload();
  await using proxy = await start(workload.url);
  await using client = await openHttp2(proxy.url);
  for (const begun of ["", "HTTP/1.1 200 OK\r\n\r\nbegun"]) {
    const asked = workload.next();
    const stream = client.begin({ ":method": "POST" });
    stream.on("error", () => undefined);
    stream.write("planted");
    const connection = await asked;
    await connection.until("planted");
    if (begun !== "") {
      connection.send(begun);
      await once(stream, "data");
    }
    stream.close(NGHTTP2_CANCEL);
    await connection.ended;
  }
  assert.deepEqual(await logLines(proxy, 2), Array(2).fill("info request-given-up"));
  assert.equal((await client.ask({ ":path": "/polaris-container/health" })).status, 200);
  assert.ok(!proxy.logText().includes("planted"));
});

test("bodies stream both ways at the same time", async () => {
  await using workload = await startTcpWorkload();
  await using proxy = await start(workload.url);
  await using client = await openHttp2(proxy.url);
  const asked = workload.next();
  const stream = client.begin({ ":method": "POST" });
  stream.write("ping");
  const connection = await asked;
  await connection.until("ping");
  connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npong\r\n");
  const [first] = (await once(stream, "data")) as [Buffer];
  assert.equal(first.toString(), "pong");
  stream.end("more");
  await connection.until("more\r\n0\r\n\r\n");
  connection.send("0\r\n\r\n");
  assert.equal((await readAnswer(stream)).rstCode, NGHTTP2_NO_ERROR);
});

test(
  "a client that stops reading stops the workload, and is cut off in the end",
  { timeout: 30_000 },
  async () => {
    const size = 64 * 1024 * 1024;
    await using workload = await startTcpWorkload();
    await using proxy = await start(workload.url, { limits: { idleTimeoutMs: 300 } });
    await using client = await openHttp2(proxy.url);
    const asked = workload.next();
    const stream = client.begin({});
    stream.end();
    stream.on("error", () => undefined);
    const connection = await asked;
    connection.send("HTTP/1.1 200 OK\r\n\r\n");
    const body = writeLarge(connection.stream, size);
    await Promise.race([connection.ended, body.taken]);
    assert.ok(body.writtenBytes < size / 2, `${body.writtenBytes} bytes were taken`);
    const answer = await readAnswer(stream);
    assert.equal(answer.rstCode, NGHTTP2_INTERNAL_ERROR);
    assert.deepEqual(await logLines(proxy, 1), ["info request-given-up"]);
    assert.equal((await client.ask({ ":path": "/polaris-container/health" })).status, 200);
  },
);

test("8 MiB go up and down", async () => {
  const size = 8 * 1024 * 1024;
  await using workload = await startWorkload();
  await using proxy = await start(workload.url);
  await using client = await openHttp2(proxy.url);
  const answer = await client.ask({ ":method": "POST" }, Buffer.alloc(size, "x"));
  assert.deepEqual([answer.status, answer.body.length, answer.rstCode], [200, size, NGHTTP2_NO_ERROR]);
});

test("a workload that answers before the end of the body is heard", async () => {
  await using workload = await startTcpWorkload((connection) => {
    connection.stream.pause();
    connection.send("HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\ntoo");
  });
  await using proxy = await start(workload.url);
  await using client = await openHttp2(proxy.url);
  const answer = await client.ask({ ":method": "POST" }, Buffer.alloc(8 * 1024 * 1024, "x"));
  assert.deepEqual([answer.status, answer.body, answer.rstCode], [413, "too", NGHTTP2_NO_ERROR]);
  assert.deepEqual(await logLines(proxy, 1), ["info request 413"]);
});

test("a body in the clear that stops in the middle is not waited for", async () => {
  await using workload = await startTcpWorkload();
  const limits = { idleTimeoutMs: 100, bodyTimeoutMs: 100 };
  await using proxy = await start(workload.url, { limits });
  await using client = await openHttp2(proxy.url);
  const stream = client.begin({ ":method": "POST" });
  stream.write("x");
  // The rest of the body is not waited for either.
  assert.deepEqual(problemOf(await readAnswer(stream)), [408, "REQUEST_TIMEOUT"]);
  assert.deepEqual(await logLines(proxy, 1), ["warn request 408 REQUEST_TIMEOUT"]);
});

test("headers above the limit are refused, and the connection goes on", async () => {
  await using workload = await startWorkload();
  await using proxy = await start(workload.url, { limits: { maxHeaderBytes: 20_000 } });
  await using client = await openHttp2(proxy.url);
  assert.equal((await client.ask({ "x-large": "x".repeat(18_000) })).status, 200);
  const refused = await client.ask({ "x-large": "x".repeat(22_000) });
  assert.deepEqual([refused.status, refused.rstCode], [undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM]);
  assert.equal((await client.ask()).status, 200);
  assert.equal(workload.seen.length, 2);
});

test("a connection above the limit is told so and ends", async () => {
  await using workload = await startWorkload();
  await using proxy = await start(workload.url, { limits: { maxConnections: 1 }, metricsPort: 0 });
  const first = await openHttp2(proxy.url);
  await using second = await openHttp2(proxy.url);
  const refused = await second.ask({ ":path": "/polaris-container/health" });
  assert.deepEqual(problemOf(refused), [503, "OVERLOADED"]);
  assert.equal(refused.headers["retry-after"], "1");
  if (!second.session.closed) await once(second.session, "close");
  await first[Symbol.asyncDispose]();
  await untilMetric(proxy, "connections", 0);
  await using third = await openHttp2(proxy.url);
  assert.equal((await third.ask()).status, 200);
});

test("a connection without a request is let go", { timeout: 10_000 }, async () => {
  await using proxy = await start("http://127.0.0.1:1", { limits: { headersTimeoutMs: 100 } });
  await using client = await openHttp2(proxy.url);
  await once(client.session, "close");
  // Not even the first bytes of HTTP/2.
  using silent = openRawTls(proxy.port, ["h2"]);
  await silent.ended;
  assert.deepEqual(logOf(proxy), []);
});

test("frames that are none end their connection alone, whenever they come", { timeout: 10_000 }, async () => {
  await using workload = await startWorkload();
  await using proxy = await start(workload.url);
  await using other = await openHttp2(proxy.url);
  const settings = "\0\0\0\x04\0\0\0\0\0";
  // HEADERS of stream 1, END_STREAM and END_HEADERS: GET, https, /, authority h.
  const headers = "\0\0\x06\x01\x05\0\0\0\x01\x82\x87\x84\x41\x01h";
  for (const bytes of [
    "planted".repeat(10),
    `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${"planted".repeat(10)}`,
    `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${settings}${headers}\0\0\x01\x04\0\0\0\0\0x`,
    `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${settings}${headers}${"\xff".repeat(100)}`,
  ]) {
    using client = openRawTls(proxy.port, ["h2"]).send(bytes);
    await client.ended;
  }
  assert.equal((await other.ask()).status, 200);
  assert.ok(!proxy.logText().includes("planted"));
});

test("closing lets streams finish, takes no new ones, and says so", { timeout: 10_000 }, async () => {
  await using workload = await startTcpWorkload();
  await using proxy = await start(workload.url, { limits: { shutdownTimeoutMs: 60_000 } });
  await using idle = await openHttp2(proxy.url);
  await using client = await openHttp2(proxy.url);
  const asked = workload.next();
  const answer = client.ask();
  const connection = await asked;
  await connection.until("\r\n\r\n");
  const goaway = once(client.session, "goaway");
  const closed = proxy.close();
  await goaway;
  connection.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate");
  assert.deepEqual([(await answer).status, (await answer).body], [200, "late"]);
  await closed;
  assert.equal(idle.session.closed, true);
});

test("streams that do not end in time are cut when the proxy closes", { timeout: 10_000 }, async () => {
  await using workload = await startTcpWorkload((connection) => {
    connection.send("HTTP/1.1 200 OK\r\n\r\nbegun");
  });
  await using proxy = await start(workload.url, { limits: { shutdownTimeoutMs: 100 } });
  await using client = await openHttp2(proxy.url);
  const stream = client.begin({});
  stream.end();
  const answer = readAnswer(stream);
  await once(stream, "data");
  await proxy.close();
  assert.notEqual((await answer).rstCode, NGHTTP2_NO_ERROR);
  assert.deepEqual(await logLines(proxy, 2), ["warn stop-deadline", "info request-given-up"]);
});
