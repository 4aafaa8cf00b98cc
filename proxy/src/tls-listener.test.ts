import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import { GOLDEN_VECTORS } from "../testing/golden-vectors.ts";
import { get, logLines, logOf, readProblem, request } from "../testing/proxy-answers.ts";
import { parseAnswers, valuesOf } from "../testing/raw-answers.ts";
import { openRaw, openRawTls, startTcpWorkload } from "../testing/raw-connection.ts";
import { fetchMetrics, untilMetric } from "../testing/read-metrics.ts";
import { startProxy, startWorkload } from "../testing/running-proxy.ts";
import type { ProxyOverrides } from "../testing/running-proxy.ts";
import { openAnswer } from "../testing/sealing.ts";
import { loadTlsIdentity } from "./tls-identity.ts";

const tlsIdentity = await loadTlsIdentity({ mode: "attested" });
const start = (url: string, overrides: ProxyOverrides = {}) => startProxy(url, { tlsIdentity, ...overrides });

test("HTTP/1.1 through TLS is HTTP/1.1", async () => {
  await using workload = await startWorkload();
  await using proxy = await start(workload.url);
  using client = openRawTls(proxy.port);
  client.send(
    request("POST", "/a", ["content-length: 4"], "body") + get("/b", "x-forwarded-for: 203.0.113.9"),
  );
  const answers = await client.answers();
  assert.deepEqual(
    answers.map(({ status, body }) => [status, body]),
    [
      [200, "body"],
      [200, ""],
    ],
  );
  assert.deepEqual(valuesOf(workload.seen[1] ?? { fields: [] }, "x-forwarded-for"), [
    "203.0.113.9, 127.0.0.1",
  ]);
});

test("a client that knows nothing of ALPN gets HTTP/1.1, and the certificate of the identity", async () => {
  await using proxy = await start("http://127.0.0.1:1");
  const socket = connectTls({ port: proxy.port, host: "127.0.0.1", rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const spki = socket.getPeerX509Certificate()?.publicKey.export({ type: "spki", format: "der" });
  assert.deepEqual(new Uint8Array(spki ?? []), new Uint8Array(tlsIdentity.publicKeySpki));
  socket.write(get("/polaris-container/health"));
  const [bytes] = (await once(socket, "data")) as [Buffer];
  assert.match(bytes.toString(), /^HTTP\/1\.1 200 OK\r\n/);
  socket.destroy();
});

test("the original client's raw request is answered through TLS", async () => {
  const [exchange] = GOLDEN_VECTORS.exchanges;
  await using workload = await startWorkload((_request, response) => void response.end("clear"));
  await using proxy = await start(workload.url);
  using client = openRawTls(proxy.port).send(Buffer.from(exchange?.requestRawBase64 ?? "", "base64"));
  const [answer] = await client.answers();
  assert.ok(answer);
  assert.equal(openAnswer(answer), "clear");
});

test("the limits of headers hold through TLS", { timeout: 10_000 }, async () => {
  await using workload = await startWorkload();
  await using proxy = await start(workload.url, { limits: { headersTimeoutMs: 200 } });
  const many = Array.from({ length: 3000 }, (_, index) => `x-${index}: 1`);
  using within = openRawTls(proxy.port).send(get("/", ...many));
  assert.equal((await within.answers())[0]?.status, 200);
  assert.equal(workload.seen[0]?.fields.filter(([name]) => /^x-\d/.test(name)).length, 3000);

  for (const [bytes, expected] of [
    [get("/", `x-large: ${"x".repeat(40_000)}`), undefined],
    [get("/", `x-large: ${"x".repeat(66_000)}`), [431, "REQUEST_INVALID"]],
    ["GET /planted HTTP/1.1\r\nhost: h\r\n", [408, "REQUEST_TIMEOUT"]],
    ["planted\r\n\r\n", [400, "REQUEST_INVALID"]],
    ["GET /planted HTTP/1.1\r\n\r\n", [400, "REQUEST_INVALID"]],
    [request("POST", "/", ["transfer-encoding: chunked"], "planted"), [400, "REQUEST_INVALID"]],
    ["CONNECT planted.example:443 HTTP/1.1\r\nhost: h\r\n\r\n", [400, "REQUEST_INVALID"]],
  ] as const) {
    const before = proxy.log().length;
    using client = openRawTls(proxy.port).send(bytes);
    await client.until(expected === undefined ? "0\r\n\r\n" : "}");
    const [answer] = parseAnswers(client.text);
    assert.ok(answer);
    if (expected === undefined) assert.equal(answer.status, 200);
    else assert.deepEqual(readProblem(answer), expected);
    assert.equal((await logLines(proxy, before + 1)).length, before + 1);
  }
  assert.ok(!proxy.logText().includes("planted"));
});

test("connections above the limit are told so through TLS", async () => {
  await using workload = await startWorkload();
  await using proxy = await start(workload.url, { limits: { maxConnections: 1 }, metricsPort: 0 });
  using first = openRawTls(proxy.port);
  await untilMetric(proxy, "connections", 1);
  using second = openRawTls(proxy.port).send(request("GET", "/"));
  const [refused] = await second.answers();
  assert.ok(refused);
  assert.deepEqual(readProblem(refused), [503, "OVERLOADED"]);
  assert.deepEqual(valuesOf(refused, "retry-after"), ["1"]);
  first.stream.destroy();
  await untilMetric(proxy, "connections", 0);
  using third = openRawTls(proxy.port).send(get("/"));
  assert.equal((await third.answers())[0]?.status, 200);
});

test("another protocol goes through TLS, and the offer of HTTP/2 in clear text is passed over", async () => {
  await using workload = await startTcpWorkload((connection, first) => {
    connection.send(
      first.includes("upgrade: echo")
        ? "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nwelcome"
        : "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    );
  });
  await using proxy = await start(workload.url);
  using client = openRawTls(proxy.port);
  client.send(request("GET", "/", ["connection: upgrade", "upgrade: echo"]));
  await client.until("welcome");
  client.send("planted");
  await workload.connections[0]?.until("planted");
  workload.connections[0]?.stream.end();
  await client.ended;

  using offering = openRawTls(proxy.port).send(get("/", "upgrade: h2c").replace("close", "close, upgrade"));
  assert.equal((await offering.answers())[0]?.body, "ok");

  await using sealing = await start(workload.url, {
    encryption: { requests: "required", responses: "optional" },
  });
  using refused = openRawTls(sealing.port);
  refused.send(request("GET", "/", ["connection: upgrade, close", "upgrade: echo"]));
  const [answer] = await refused.answers();
  assert.ok(answer);
  assert.deepEqual(readProblem(answer), [400, "REQUEST_INVALID"]);
});

test("an answer that breaks off never looks complete through TLS", async () => {
  await using workload = await startTcpWorkload((connection) => {
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nbegun");
  });
  await using proxy = await start(workload.url);
  const asked = workload.next();
  using client = openRawTls(proxy.port).send(request("GET", "/"));
  await client.until("begun");
  (await asked).reset();
  await client.ended;
  assert.equal(parseAnswers(client.text)[0]?.isWhole, false);
  assert.deepEqual(await logLines(proxy, 1), ["error request 502 WORKLOAD_RESPONSE_INVALID"]);
});

test("what is no TLS ends its connection alone, without a word in the log", { timeout: 10_000 }, async () => {
  await using workload = await startWorkload();
  await using proxy = await start(workload.url, { metricsPort: 0 });
  for (const bytes of [
    "GET /planted HTTP/1.1\r\nhost: planted\r\n\r\n",
    "planted".repeat(1000),
    // A record of a handshake, with nothing in it that is one.
    Buffer.concat([Buffer.from([22, 3, 1, 0, 200]), Buffer.alloc(200, "planted")]),
  ]) {
    using client = openRaw(proxy.port).send(bytes);
    await client.ended;
    assert.ok(!client.text.includes("HTTP"));
  }
  using old = openRaw(proxy.port);
  const tooOld = connectTls({ socket: old.stream, rejectUnauthorized: false, maxVersion: "TLSv1.1" });
  const [error] = (await once(tooOld, "error")) as [NodeJS.ErrnoException];
  assert.match(error.code ?? "", /^(ERR_SSL|ECONNRESET)/);
  assert.deepEqual(logOf(proxy), []);
  assert.equal((await fetchMetrics(proxy)).get("polaris_proxy_connections"), 0);
  using good = openRawTls(proxy.port).send(get("/"));
  assert.equal((await good.answers())[0]?.status, 200);
});

test("a client that never begins with TLS has its time, and no longer", { timeout: 10_000 }, async () => {
  await using proxy = await start("http://127.0.0.1:1", { limits: { headersTimeoutMs: 100 } });
  using silent = openRaw(proxy.port);
  using half = openRaw(proxy.port).send(Buffer.from([22, 3, 1, 0, 200]));
  await Promise.all([silent.ended, half.ended]);
  assert.equal(silent.text, "");
  assert.deepEqual(logOf(proxy), []);
});

test(
  "closing lets what is in flight finish through TLS, and waits for nobody else",
  { timeout: 5_000 },
  async () => {
    await using workload = await startTcpWorkload();
    await using proxy = await start(workload.url, { limits: { shutdownTimeoutMs: 60_000 }, metricsPort: 0 });
    using before = openRaw(proxy.port);
    using client = openRawTls(proxy.port).send(request("GET", "/"));
    const connection = await workload.next();
    await connection.until("\r\n\r\n");
    using used = openRawTls(proxy.port).send(request("GET", "/polaris-container/health"));
    await used.until("}");
    const closed = proxy.close();
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate");
    const [answer] = await client.answers();
    assert.equal(answer?.body, "late");
    await closed;
    await Promise.all([before.ended, used.ended]);
  },
);
