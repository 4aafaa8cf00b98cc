import assert from "node:assert/strict";
import { test } from "node:test";
import { assertAlive, get, logLines, logOf, readProblem, request } from "../testing/proxy-answers.ts";
import { parseAnswers, valuesOf } from "../testing/raw-answers.ts";
import { openRaw, startTcpWorkload } from "../testing/raw-connection.ts";
import { sendRaw, startProxy, startWorkload } from "../testing/running-proxy.ts";
import { responseKeyField } from "../testing/sealing.ts";

test("in the clear, a request goes through as it is but for what ends at this hop", async () => {
  await using workload = await startWorkload((_request, response) => {
    response.writeHead(201, [
      "set-cookie",
      "a=1",
      "set-cookie",
      "b=2",
      "X-Mixed",
      "v",
      "polaris-error",
      "FORGED",
      "etag",
      '"e"',
    ]);
    response.end("made");
  });
  await using proxy = await startProxy(workload.url);
  const fields = [
    "Connection: close, x-hop",
    "X-Hop: 1",
    "X-Kept: 2",
    "TE: trailers",
    "Keep-Alive: timeout=1",
    "Proxy-Connection: keep-alive",
    "Proxy-Authorization: Basic x",
    "Trailer: x-t",
    "X-Forwarded-For: 203.0.113.9",
    "Expect: 100-continue",
    "Accept-Encoding: br",
    "Polaris-Forged: 1",
    "Content-Length: 4",
  ];
  using client = openRaw(proxy.port).send(request("PUT", "/a%20b?x=1&y=", fields, "data"));
  const [interim, answer, ...others] = await client.answers();
  // The interim answer to Expect comes from this hop.
  assert.deepEqual([interim?.status, answer?.status, others.length], [100, 201, 0]);
  assert.deepEqual(answer?.fields.slice(0, 4), [
    ["set-cookie", "a=1"],
    ["set-cookie", "b=2"],
    ["x-mixed", "v"],
    ["etag", '"e"'],
  ]);
  assert.equal(answer?.body, "made");
  assert.ok(!client.text.includes("FORGED"));

  const [seen] = workload.seen;
  assert.deepEqual([seen?.method, seen?.url, seen?.body], ["PUT", "/a%20b?x=1&y=", "data"]);
  assert.deepEqual(seen?.fields, [
    ["host", new URL(workload.url).host],
    ["connection", "keep-alive"],
    ["x-kept", "2"],
    ["accept-encoding", "br"],
    ["x-forwarded-for", "203.0.113.9, 127.0.0.1"],
    ["content-length", "4"],
  ]);
});

test("what ends at the workload's hop does not reach the client", async () => {
  await using workload = await startTcpWorkload((connection) => {
    connection.send(
      "HTTP/1.1 200 OK\r\nConnection: X-Named, keep-alive\r\nX-Named: 1\r\nKeep-Alive: timeout=7\r\n" +
        "Proxy-Authenticate: Basic\r\nProxy-Connection: close\r\nUpgrade: h2c\r\nTrailer: x-t\r\nTE: gzip\r\n" +
        "Polaris-Secure: 1\r\nX-Kept: 2\r\nContent-Length: 2\r\n\r\nok",
    );
  });
  await using proxy = await startProxy(workload.url);
  const answer = await sendRaw(proxy.port, get("/"));
  assert.deepEqual(
    answer.fields.filter(([name]) => name !== "date"),
    [
      ["x-kept", "2"],
      ["content-length", "2"],
      ["connection", "close"],
    ],
  );
  assert.equal(answer.body, "ok");
});

const BODILESS: readonly [method: string, status: number][] = [
  ["HEAD", 200],
  ["GET", 204],
  ["GET", 205],
  ["GET", 304],
];

for (const [method, status] of BODILESS) {
  test(`${method} answered with ${status} has no body, sealed or not`, async () => {
    await using workload = await startWorkload((_request, response) => {
      response.writeHead(status, method === "HEAD" ? { "content-length": "17" } : {}).end();
    });
    await using proxy = await startProxy(workload.url);
    for (const fields of [[], [responseKeyField]]) {
      const answer = await sendRaw(proxy.port, get("/", ...fields).replace("GET", method));
      assert.equal(answer.status, status);
      assert.equal(answer.body, "");
      const lengths = method === "HEAD" && fields.length === 0 ? ["17"] : status === 205 ? ["0"] : [];
      assert.deepEqual(valuesOf(answer, "content-length"), lengths);
    }
  });
}

for (const status of [204, 205]) {
  test(`a workload that gives ${status} a length does not get a second one onto the wire`, async () => {
    // Below HTTP: Node's own server would not send this.
    await using workload = await startTcpWorkload((connection) => {
      connection.send(`HTTP/1.1 ${status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
    });
    await using proxy = await startProxy(workload.url);
    const answer = await sendRaw(proxy.port, get("/"));
    assert.equal(answer.status, status);
    assert.deepEqual(valuesOf(answer, "content-length"), status === 205 ? ["0"] : []);
  });
}

test("a body that answers HEAD is nobody's, and does not become the next answer", async () => {
  await using workload = await startTcpWorkload((connection, first) => {
    const isHead = first.startsWith("HEAD");
    const poison = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\npoisoned";
    connection.send(
      `HTTP/1.1 200 OK\r\ncontent-length: ${poison.length}\r\n\r\n${isHead ? poison : "x".repeat(poison.length)}`,
    );
  });
  await using proxy = await startProxy(workload.url);
  using client = openRaw(proxy.port).send(request("HEAD", "/"));
  await client.until("\r\n\r\n");
  const [head] = parseAnswers(client.text, true);
  assert.deepEqual([head?.status, head?.body], [200, ""]);
  client.send(get("/"));
  await client.ended;
  assert.ok(!client.text.includes("poisoned"));
  assert.ok(client.text.endsWith("xxx"));
});

test("answers of unknown length come in chunks, those of a known one as they are", async () => {
  await using workload = await startWorkload((request, response) => {
    if (request.url === "/known") response.setHeader("content-length", "4");
    response.write("ab");
    response.end("cd");
  });
  await using proxy = await startProxy(workload.url);
  const unknown = await sendRaw(proxy.port, get("/unknown"));
  assert.deepEqual(valuesOf(unknown, "transfer-encoding"), ["chunked"]);
  const known = await sendRaw(proxy.port, get("/known"));
  assert.deepEqual([valuesOf(known, "transfer-encoding"), valuesOf(known, "content-length")], [[], ["4"]]);
  assert.deepEqual([unknown.body, known.body], ["abcd", "abcd"]);
  // An answer that ends with the workload's connection has an end of its own on ours.
  await using old = await startTcpWorkload((connection) => {
    connection.send("HTTP/1.0 200 OK\r\n\r\nuntil the end");
    connection.stream.end();
  });
  await using oldProxy = await startProxy(old.url);
  const ended = await sendRaw(oldProxy.port, get("/"));
  assert.deepEqual(
    [ended.body, ended.isWhole, valuesOf(ended, "transfer-encoding")],
    ["until the end", true, ["chunked"]],
  );
});

test("trailers of the workload reach the client, but for those that a trailer must not have", async () => {
  await using workload = await startTcpWorkload((connection) => {
    connection.send(
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n" +
        "x-checksum: 1\r\nx-checksum: 2\r\nset-cookie: forged=1\r\nconstructor: c\r\n__proto__: p\r\n\r\n",
    );
  });
  await using proxy = await startProxy(workload.url);
  const answer = await sendRaw(proxy.port, get("/"));
  assert.equal(answer.body, "ok");
  assert.deepEqual(answer.trailers, [
    ["x-checksum", "1"],
    ["x-checksum", "2"],
    ["constructor", "c"],
    ["__proto__", "p"],
  ]);
});

test("interim answers of the workload reach the client of HTTP/1.1 before the answer", async () => {
  const { promise: hold, resolve: letGo } = Promise.withResolvers<void>();
  await using workload = await startTcpWorkload((connection) => {
    connection.send(
      "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\nconnection: y\r\n\r\n",
    );
    void hold.then(() => connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
  });
  await using proxy = await startProxy(workload.url);
  using client = openRaw(proxy.port).send(get("/"));
  await client.until("link: x\r\n\r\n");
  letGo();
  const answers = await client.answers();
  assert.deepEqual(
    answers.map(({ status }) => status),
    [102, 103, 200],
  );
  assert.deepEqual(answers[1]?.fields, [["link", "x"]]);
  assert.equal(answers[2]?.body, "ok");
});

test("HTTP/1.0 gets no interim answers and no chunks, and its answer ends with the connection", async () => {
  await using workload = await startTcpWorkload((connection) => {
    connection.send(
      "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    );
  });
  await using proxy = await startProxy(workload.url);
  using client = openRaw(proxy.port).send("GET / HTTP/1.0\r\n\r\n");
  const [answer, ...others] = await client.answers();
  assert.deepEqual([answer?.status, answer?.body, others.length], [200, "ok", 0]);
  assert.deepEqual(valuesOf(answer ?? { fields: [] }, "transfer-encoding"), []);
});

test("requests one behind the other are answered in their order", async () => {
  const { promise: hold, resolve: letGo } = Promise.withResolvers<void>();
  const { promise: allAsked, resolve: tellAsked } = Promise.withResolvers<void>();
  await using workload = await startWorkload(async (request, response) => {
    if (request.url === "/3") tellAsked();
    if (request.url === "/1") await hold;
    response.end(request.url);
  });
  await using proxy = await startProxy(workload.url);
  using client = openRaw(proxy.port).send(request("GET", "/1") + request("GET", "/2") + get("/3"));
  await allAsked;
  assert.equal(client.text, "");
  letGo();
  const bodies = (await client.answers()).map(({ body }) => body);
  assert.deepEqual(bodies, ["/1", "/2", "/3"]);
  assert.deepEqual(logOf(proxy), Array(3).fill("info request 200"));
});

test("a URL in the clear must be a path on the workload", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  for (const target of [
    "http://planted.example/",
    "//planted.example/",
    "/\\planted.example",
    "/a#planted",
  ]) {
    assert.deepEqual(readProblem(await sendRaw(proxy.port, get(target))), [400, "REQUEST_INVALID"], target);
  }
  const all = await sendRaw(proxy.port, request("OPTIONS", "*", ["connection: close"]));
  assert.deepEqual(readProblem(all), [400, "REQUEST_INVALID"]);
  assert.equal(workload.seen.length, 0);
  assert.deepEqual(await logLines(proxy, 5), Array(5).fill("warn request 400 REQUEST_INVALID"));
  assert.ok(!proxy.logText().includes("planted"));
  await assertAlive(proxy);
});
