import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { assertAlive, get, logLines, logOf, readProblem, request } from "../testing/proxy-answers.ts";
import { parseAnswers } from "../testing/raw-answers.ts";
import { RawConnection, openRaw, startTcpWorkload } from "../testing/raw-connection.ts";
import { startProxy, startWorkload } from "../testing/running-proxy.ts";
import { secureField } from "../testing/sealing.ts";

const host = "host: proxy.example\r\n";
const post = (fields: string, body: string): string => `POST / HTTP/1.1\r\n${host}${fields}\r\n\r\n${body}`;
const chunked = (body: string): string => post("transfer-encoding: chunked", body);

/** Each is one request that HTTP does not allow, with a marker in it that nobody may repeat. */
const REFUSED: readonly [what: string, bytes: string, status?: number][] = [
  ["no HTTP", "planted\r\n\r\n"],
  ["TLS for a plain port", "\x16\x03\x01planted".padEnd(600, "x")],
  ["HTTP/2 for HTTP/1", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nplanted"],
  ["HTTP/0.9", "GET /planted\r\n\r\n"],
  ["HTTP/2.0 in a request line", `GET /planted HTTP/2.0\r\n${host}\r\n`],
  ["a version that nobody knows", `GET /planted HTTP/1.7\r\n${host}\r\n`],
  ["a method that nobody knows", `PLANTED / HTTP/1.1\r\n${host}\r\n`],
  ["CONNECT", "CONNECT planted.example:443 HTTP/1.1\r\nhost: planted.example:443\r\n\r\n"],
  ["no host", "GET /planted HTTP/1.1\r\n\r\n"],
  ["two hosts", "GET /planted HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"],
  ["two lengths", post("content-length: 1\r\ncontent-length: 7", "planted")],
  ["the same length twice", post("content-length: 7\r\ncontent-length: 7", "planted")],
  ["a list of lengths", post("content-length: 7, 7", "planted")],
  ["a length with a sign", post("content-length: +7", "planted")],
  ["a length in other digits", post("content-length: 0x7", "planted")],
  ["a length and chunks", post("content-length: 7\r\ntransfer-encoding: chunked", "0\r\n\r\nplanted")],
  ["chunks and a length", post("transfer-encoding: chunked\r\ncontent-length: 7", "0\r\n\r\nplanted")],
  ["another coding than chunks", post("transfer-encoding: gzip", "planted")],
  ["a coding that looks like chunks", post("transfer-encoding: xchunked", "7\r\nplanted\r\n0\r\n\r\n")],
  ["another coding below chunks", post("transfer-encoding: gzip, chunked", "7\r\nplanted\r\n0\r\n\r\n")],
  ["chunks that are not the last coding", post("transfer-encoding: chunked, identity", "0\r\n\r\n")],
  ["a blank before the colon", post("transfer-encoding : chunked", "0\r\n\r\n")],
  ["chunks in HTTP/1.0", "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n7\r\nplanted\r\n0\r\n\r\n"],
  ["a chunk of no size", chunked("planted\r\n")],
  ["a chunk of a negative size", chunked("-7\r\nplanted\r\n0\r\n\r\n")],
  ["a chunk of more digits than a number has", chunked("fffffffffffffffff\r\nplanted")],
  ["a bad chunk behind a good one", chunked("7\r\nplanted\r\nzz\r\nplanted\r\n0\r\n\r\n")],
  ["a chunk that is longer than it says", chunked("2\r\nplanted\r\n0\r\n\r\n")],
  ["chunks with bare LF", chunked("7\nplanted\n0\n\n")],
  ["an extension of a chunk without end", chunked(`7;planted=${"x".repeat(20_000)}\r\nplanted\r\n`)],
  ["a length as a trailer", chunked("7\r\nplanted\r\n0\r\ncontent-length: 3\r\n\r\n")],
  ["a folded line", `GET / HTTP/1.1\r\n${host}x: planted\r\n planted\r\n\r\n`],
  ["bare LF for lines", "GET /planted HTTP/1.1\nhost: h\n\n"],
  ["bare LF in a header", `GET / HTTP/1.1\r\n${host}x: planted\ny: 1\r\n\r\n`],
  ["bare CR in a header", `GET / HTTP/1.1\r\n${host}x: planted\ry: 1\r\n\r\n`],
  ["NUL in a header", `GET / HTTP/1.1\r\n${host}x: planted\0\r\n\r\n`],
  ["a header without a colon", `GET / HTTP/1.1\r\n${host}planted\r\n\r\n`],
  ["bytes beyond ASCII in the URL", `GET /planted\u00e4 HTTP/1.1\r\n${host}\r\n`],
  ["an absolute URL", `GET http://planted.example/ HTTP/1.1\r\n${host}\r\n`],
  ["a URL with two slashes", `GET //planted.example/ HTTP/1.1\r\n${host}\r\n`],
  ["a URL with a fragment", `GET /#planted HTTP/1.1\r\n${host}\r\n`],
  ["TRACE", `TRACE /planted HTTP/1.1\r\n${host}\r\n`],
  ["headers above the limit", `GET / HTTP/1.1\r\n${host}planted: ${"x".repeat(66_000)}\r\n\r\n`, 431],
  ["a URL above the limit", `GET /${"planted".repeat(10_000)} HTTP/1.1\r\n${host}\r\n`, 431],
  ["20 000 headers", `GET / HTTP/1.1\r\n${host}${"planted: 1\r\n".repeat(20_000)}\r\n`, 431],
];

for (const [what, bytes, status = 400] of REFUSED) {
  test(`${what}: refused with ${status}, one line in the log, and nothing of it reaches the workload`, async () => {
    await using workload = await startTcpWorkload();
    await using proxy = await startProxy(workload.url);
    using client = openRaw(proxy.port).send(bytes);
    await client.until("}");
    const [answer, ...others] = parseAnswers(client.text);
    assert.ok(answer);
    assert.equal(others.length, 0);
    assert.deepEqual(readProblem(answer), [status, "REQUEST_INVALID"]);
    client.stream.end();
    assert.equal(await client.ended, "end");
    assert.deepEqual(await logLines(proxy, 1), [`warn request ${status} REQUEST_INVALID`]);
    assert.ok(!(client.text + proxy.logText()).includes("lanted"));
    // What came of a body before it went wrong may have gone on, but the workload sees that it has no end.
    for (const { text } of workload.connections) assert.ok(!text.includes("\r\n0\r\n"));
    await assertAlive(proxy);
  });
}

test("64 KiB of headers are read, 3000 of them too", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const many = Array.from({ length: 3000 }, (_, index) => `x-${index}: 1`);
  using client = openRaw(proxy.port).send(get("/", ...many));
  assert.equal((await client.answers())[0]?.status, 200);
  assert.equal(workload.seen[0]?.fields.filter(([name]) => name.startsWith("x-")).length, 3001);
});

test("what is no request behind one that is gets an answer of its own, after the other's", async () => {
  const { promise: hold, resolve: letGo } = Promise.withResolvers<void>();
  await using workload = await startWorkload(async (_request, response) => {
    await hold;
    response.end("answer");
  });
  await using proxy = await startProxy(workload.url);
  for (const first of [request("GET", "/"), chunked("2\r\nab\r\n0\r\n\r\n")]) {
    using client = openRaw(proxy.port).send(`${first}planted garbage\r\n\r\n`);
    letGo();
    const [answer, refusal, ...others] = await client.answers();
    assert.deepEqual([answer?.status, answer?.body, others.length], [200, "answer", 0]);
    assert.ok(refusal);
    assert.deepEqual(readProblem(refusal), [400, "REQUEST_INVALID"]);
  }
  const pair = ["info request 200", "warn request 400 REQUEST_INVALID"];
  assert.deepEqual((await logLines(proxy, 4)).sort(), [...pair, ...pair].sort());
});

test("a body that goes wrong in the middle cuts off an answer that has begun", async () => {
  await using workload = await startTcpWorkload((connection) => {
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegun");
  });
  await using proxy = await startProxy(workload.url);
  using client = openRaw(proxy.port).send(chunked("2\r\nab\r\n"));
  await client.until("begun");
  client.send("planted\r\n");
  await client.ended;
  assert.ok(client.text.endsWith("begun"));
  assert.deepEqual(await logLines(proxy, 1), ["warn request 400 REQUEST_INVALID"]);
  await workload.connections[0]?.ended;
});

test("a sealed body that goes wrong in the middle is refused at once", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const fields = [await secureField(), "transfer-encoding: chunked"];
  using client = openRaw(proxy.port).send(request("POST", "/", fields, "2\r\nab\r\nplanted\r\n"));
  const [answer] = await client.answers();
  assert.ok(answer);
  assert.deepEqual(readProblem(answer), [400, "REQUEST_INVALID"]);
  assert.deepEqual(await logLines(proxy, 1), ["warn request 400 REQUEST_INVALID"]);
});

test("a client that goes on with what was refused is let go all the same", { timeout: 20_000 }, async () => {
  const proxy = await startProxy("http://127.0.0.1:1", { limits: { shutdownTimeoutMs: 60_000 } });
  const socket = connect({ port: proxy.port, host: "127.0.0.1", allowHalfOpen: true });
  using client = new RawConnection(socket).send("planted\r\n\r\n");
  await client.until("}");
  client.send(Buffer.alloc(1024 * 1024, "x"));
  // Waits for the last connection, which this client does not end.
  await proxy.close();
  assert.equal(client.stream.writable, true);
  assert.deepEqual(logOf(proxy), ["warn request 400 REQUEST_INVALID"]);
});

test("an expectation that nobody knows is passed over", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  using client = openRaw(proxy.port).send(get("/", "expect: planted"));
  assert.deepEqual(
    (await client.answers()).map(({ status }) => status),
    [200],
  );
  assert.ok(!workload.seen[0]?.fields.some(([name]) => name === "expect"));
  assert.deepEqual(await logLines(proxy, 1), ["info request 200"]);
});
