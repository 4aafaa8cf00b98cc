import assert from "node:assert/strict";
import { test } from "node:test";
import { importPublicKey, sealEnvelope } from "@polaris-cvm/sdk";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { GOLDEN_VECTORS, createContainerKeyProvider } from "../testing/golden-vectors.ts";
import { assertAlive, detailOf, get, logOf, readProblem, request } from "../testing/proxy-answers.ts";
import { valuesOf } from "../testing/raw-answers.ts";
import { startTcpWorkload } from "../testing/raw-connection.ts";
import { sendRaw, startProxy, startWorkload } from "../testing/running-proxy.ts";
import {
  createSealingClient,
  openAnswer,
  recipient,
  responseKey,
  responseKeyField,
  sealBytes,
  sealText,
  secureField,
} from "../testing/sealing.ts";

const bothWays = { encryption: { requests: "required", responses: "required" } } as const;

for (const exchange of GOLDEN_VECTORS.exchanges) {
  test(`the original client's raw request "${exchange.name}" gets the answer it expects`, async () => {
    await using workload = await startWorkload((request, response) => {
      if (request.url === "/echo?q=1") response.end('{"hello":"world"}');
      else if (request.url === "/e/404") response.writeHead(404).end("err body");
      else response.end();
    });
    await using proxy = await startProxy(workload.url, bothWays);
    const answer = await sendRaw(proxy.port, Buffer.from(exchange.requestRawBase64, "base64"));
    if (exchange.workload === undefined) {
      assert.deepEqual(readProblem(answer), [400, "ENCRYPTION_REQUIRED"]);
      assert.equal(workload.seen.length, 0);
      return;
    }
    const { method, url, bodyUtf8 } = exchange.workload;
    assert.deepEqual(
      workload.seen.map((seen) => [seen.method, seen.url, seen.body]),
      [[method, url, bodyUtf8]],
    );
    assert.equal(answer.status, exchange.response.status);
    assert.equal(openAnswer(answer), exchange.response.bodyUtf8);
  });
}

test("the workload sees the sealed headers of the original client and none of the outer ones", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url, bothWays);
  await sendRaw(proxy.port, Buffer.from(GOLDEN_VECTORS.exchanges[0]?.requestRawBase64 ?? "", "base64"));
  assert.deepEqual(workload.seen[0]?.fields, [
    ["host", new URL(workload.url).host],
    ["connection", "keep-alive"],
    ["accept", "application/json, text/plain, */*"],
    ["content-type", "application/json"],
    ["authorization", "Bearer example"],
    ["accept-encoding", "identity"],
    ["x-forwarded-for", "127.0.0.1"],
    ["content-length", "17"],
  ]);
});

test("our client and our proxy speak sealed both ways", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url, bothWays);
  const client = createSealingClient(proxy.url);
  const response = await client.fetch("/echo?secret=1", { method: "POST", body: "hello" });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "text/plain");
  assert.equal(await response.text(), "hello");
  assert.deepEqual([workload.seen[0]?.method, workload.seen[0]?.url], ["POST", "/echo?secret=1"]);

  const head = await client.fetch("/", { method: "HEAD" });
  assert.equal(head.status, 200);
  assert.equal(await head.text(), "");
});

test("what ends at this hop also ends here when it was sealed, and cannot split a request in two", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const smuggled = await secureField({
    "Transfer-Encoding": "chunked",
    "Content-Length": "0",
    Connection: ["x-named", "close, X-Listed"],
    "x-named": "1",
    "x-listed": "1",
    "Keep-Alive": "timeout=1",
    "Proxy-Authorization": "Basic x",
    "Proxy-Connection": "close",
    TE: "trailers",
    Trailer: "x-t",
    Upgrade: "websocket",
    Expect: "100-continue",
    Host: "elsewhere.example",
    "polaris-forged": "1",
    "x-kept": "2",
  });
  await sendRaw(proxy.port, get("/", smuggled));
  assert.deepEqual(workload.seen[0]?.fields, [
    ["host", new URL(workload.url).host],
    ["connection", "keep-alive"],
    ["x-kept", "2"],
    ["x-forwarded-for", "127.0.0.1"],
  ]);
});

test("a sealed body gets its own length, and the sealed length does not count", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const body = (await sealBytes(Buffer.from("clear body"))).toString("latin1");
  const fields = [await secureField({ "content-length": "1" }), `content-length: ${body.length}`];
  await sendRaw(proxy.port, request("POST", "/", ["connection: close", ...fields], body));
  assert.equal(workload.seen[0]?.body, "clear body");
  assert.deepEqual(valuesOf(workload.seen[0] ?? { fields: [] }, "content-length"), ["10"]);
});

const BAD_SEALED_FIELDS: readonly [what: string, json: string][] = [
  ["CR and LF in a value", '{"x":"planted\\r\\nx-injected: 1"}'],
  ["LF in a value", '{"x":"planted\\nx-injected: 1"}'],
  ["NUL in a value", '{"x":"planted\\u0000"}'],
  ["a value beyond latin1", '{"x":"planted\\u20ac"}'],
  ["CR and LF in a name", '{"x\\r\\nx-planted":"1"}'],
  ["a colon in a name", '{"x-planted:":"1"}'],
  ["an empty name", '{"":"planted"}'],
  ["an object for a value", '{"x":{"planted":1}}'],
  ["null for a value", '{"x-planted":null}'],
  ["a list", '["planted"]'],
  ["a text", '"planted"'],
  ["half of an object", '{"x":"planted"'],
];

for (const [what, json] of BAD_SEALED_FIELDS) {
  test(`sealed headers with ${what} are refused, and not repeated`, async () => {
    await using workload = await startWorkload();
    await using proxy = await startProxy(workload.url);
    const answer = await sendRaw(proxy.port, get("/", `polaris-secure: ${await sealText(json)}`));
    assert.deepEqual(readProblem(answer), [400, "REQUEST_INVALID"]);
    assert.deepEqual(logOf(proxy), ["warn request 400 REQUEST_INVALID"]);
    assert.ok(!(answer.body + proxy.logText()).includes("planted"));
    assert.equal(workload.seen.length, 0);
    await assertAlive(proxy);
  });
}

const BAD_TARGETS: readonly [target: string, expected: [number, string]][] = [
  ["http://elsewhere.example/", [400, "REQUEST_INVALID"]],
  ["//elsewhere.example/", [400, "REQUEST_INVALID"]],
  ["/\\elsewhere.example/", [400, "REQUEST_INVALID"]],
  ["elsewhere", [400, "REQUEST_INVALID"]],
  ["", [400, "REQUEST_INVALID"]],
  ["*", [400, "REQUEST_INVALID"]],
  ["/a b", [400, "REQUEST_INVALID"]],
  ["/a\r\nx: y", [400, "REQUEST_INVALID"]],
  ["/\u00e4", [400, "REQUEST_INVALID"]],
  ["/\0", [400, "REQUEST_INVALID"]],
  ["/polaris-container/health", [404, "ROUTE_NOT_FOUND"]],
];

test("a sealed URL must be a path on the workload", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  for (const [target, expected] of BAD_TARGETS) {
    const answer = await sendRaw(proxy.port, get("/", `polaris-url: ${await sealText(target)}`));
    assert.deepEqual(readProblem(answer), expected, JSON.stringify(target));
  }
  assert.equal(workload.seen.length, 0);
  assert.deepEqual(
    logOf(proxy),
    BAD_TARGETS.map(([, [status, code]]) => `warn request ${status} ${code}`),
  );
});

test("without a URL, sealed headers mean the root, whatever the URL in the clear", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  await sendRaw(proxy.port, get("/outer?planted", await secureField()));
  assert.equal(workload.seen[0]?.url, "/");
});

test("TRACE, which would show opened headers, is not forwarded", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const secure = await secureField({ authorization: "Bearer t" });
  const answer = await sendRaw(proxy.port, request("TRACE", "/", ["connection: close", secure]));
  assert.deepEqual(readProblem(answer), [400, "REQUEST_INVALID"]);
  assert.equal(workload.seen.length, 0);
});

test("sealed headers are refused where requests are clear, and never reach the workload", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url, { encryption: { requests: "off", responses: "off" } });
  const sealed = await sendRaw(proxy.port, get("/", await secureField()));
  assert.deepEqual(readProblem(sealed), [400, "ENCRYPTION_OFF"]);
  assert.deepEqual(readProblem(await sendRaw(proxy.port, get("/", responseKeyField))), [
    400,
    "ENCRYPTION_OFF",
  ]);
  assert.equal(workload.seen.length, 0);
});

test("renamed headers are the ones that count, and stay here", async () => {
  await using workload = await startWorkload();
  const headerNames = { url: "x-url", secure: "x-secure", responseKey: "x-key" };
  await using proxy = await startProxy(workload.url, { headerNames });
  const answer = await sendRaw(
    proxy.port,
    get(
      "/",
      `X-Url: ${await sealText("/inner")}`,
      `X-Secure: ${await sealText('{"x-url":"1"}')}`,
      `X-Key: ${responseKey}`,
    ),
  );
  assert.equal(openAnswer(answer), "");
  assert.equal(workload.seen[0]?.url, "/inner");
  assert.ok(!workload.seen[0]?.fields.some(([name]) => name.startsWith("x-url") || name.startsWith("x-key")));
});

test("a coded answer that is to be sealed is said so, and only known codings by name", async () => {
  let coding = "";
  await using workload = await startWorkload((_request, response) => {
    response.writeHead(200, { "content-encoding": coding }).end("x");
  });
  await using proxy = await startProxy(workload.url);
  const cases = [
    ["GZIP", "content-encoding gzip"],
    ["planted", "another content-encoding"],
  ] as const;
  for (const [sent, shown] of cases) {
    coding = sent;
    const answer = await sendRaw(proxy.port, get("/", responseKeyField));
    assert.deepEqual(readProblem(answer), [502, "WORKLOAD_RESPONSE_INVALID"]);
    assert.equal(detailOf(answer), `the workload sent ${shown} although identity was asked for`);
  }
});

test("interim answers and trailers, which would be in the clear, are dropped where the answer is sealed", async () => {
  await using workload = await startTcpWorkload((connection) => {
    connection.send(
      "HTTP/1.1 103 Early Hints\r\nlink: planted\r\n\r\n" +
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-trailer: planted\r\n\r\n",
    );
  });
  await using proxy = await startProxy(workload.url);
  const answer = await sendRaw(proxy.port, get("/", responseKeyField));
  assert.equal(openAnswer(answer), "ok");
  assert.deepEqual([answer.status, answer.trailers], [200, []]);
  assert.ok(!JSON.stringify(answer.fields).includes("planted"));
});

test("a sealed answer that breaks off is a clear error, for nothing of it has been sent", async () => {
  await using workload = await startTcpWorkload((connection) => {
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nplanted");
    connection.stream.end();
  });
  await using proxy = await startProxy(workload.url);
  const answer = await sendRaw(proxy.port, get("/", responseKeyField));
  assert.deepEqual(readProblem(answer), [502, "WORKLOAD_RESPONSE_INVALID"]);
  assert.ok(!answer.body.includes("planted"));
});

test("a key that is away is our fault, a refused attestation too", async () => {
  await using workload = await startWorkload();
  const cases = [
    ["KEY_UNAVAILABLE", "the proxy has no key now, and keeps asking for it", ["5"]],
    ["KEY_RELEASE_DENIED", "the key service does not let this machine use its key", []],
  ] as const;
  for (const [code, detail, retryAfter] of cases) {
    const container = await createContainerKeyProvider();
    const keys = { ...container, unwrap: () => Promise.reject(new PolarisError(code, "the key is away")) };
    await using proxy = await startProxy(workload.url, { keys });
    const answer = await sendRaw(proxy.port, get("/", await secureField()));
    assert.deepEqual(readProblem(answer), [503, code]);
    assert.equal(detailOf(answer), detail);
    assert.deepEqual(valuesOf(answer, "retry-after"), retryAfter);
    assert.ok(!answer.body.includes("the key is away"));
    assert.deepEqual(logOf(proxy), [`error request 503 ${code}`]);
  }
});

test("a key that nobody has is refused by its name", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const unknown = `polaris-key-id: sha256:${"0".repeat(64)}`;
  const answer = await sendRaw(proxy.port, get("/", await secureField(), unknown));
  assert.deepEqual(readProblem(answer), [422, "KEY_UNKNOWN"]);
  assert.deepEqual(logOf(proxy), ["warn request 422 KEY_UNKNOWN"]);
  assert.equal(workload.seen.length, 0);
});

test("what nobody foresaw is an internal error that says nothing but the id of the request", async () => {
  await using workload = await startWorkload();
  const container = await createContainerKeyProvider();
  const keys = { ...container, unwrap: () => Promise.reject(new TypeError("planted-secret")) };
  await using proxy = await startProxy(workload.url, { keys });
  const answer = await sendRaw(proxy.port, get("/", await secureField()));
  assert.deepEqual(readProblem(answer), [500, "INTERNAL"]);
  assert.equal(detailOf(answer), undefined);
  const [line] = proxy.log();
  assert.equal(line?.["requestId"], (JSON.parse(answer.body) as { requestId: string }).requestId);
  assert.match(String(line?.["reason"]), /^TypeError at sealed-exchange\.test\.ts:\d+$/);
  assert.ok(!(answer.body + proxy.logText()).includes("planted-secret"));
});

test("every cryptographic failure has one answer", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const other = await importPublicKey(GOLDEN_VECTORS.clientPublicKeyPem);
  const good = Buffer.from(await sealEnvelope(Buffer.from("{}"), recipient));
  const flipped = (index: number): Buffer => {
    const copy = Buffer.from(good);
    copy.writeUInt8(copy.readUInt8(index) ^ 1, index);
    return copy;
  };
  const wrongKey = Buffer.from(await sealEnvelope(Buffer.from("{}"), other));
  const bodies: string[] = [];
  for (const message of [flipped(good.length - 1), wrongKey]) {
    const answer = await sendRaw(proxy.port, get("/", `polaris-secure: ${message.toString("base64")}`));
    assert.deepEqual(readProblem(answer), [400, "ENVELOPE_OPEN_FAILED"]);
    bodies.push(answer.body.replace(/"requestId":"[^"]+"/, ""));
  }
  assert.equal(bodies[0], bodies[1]);
  assert.match(bodies[0] ?? "", /"detail":"cannot open envelope"/);
});

test("a sealed body that is no envelope, or half of one, is refused in one line", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const whole = (await sealBytes(Buffer.from("planted"))).toString("latin1");
  for (const body of ["planted", whole.slice(0, 3), whole.slice(0, 700), whole.slice(0, -3)]) {
    const fields = ["connection: close", await secureField(), `content-length: ${body.length}`];
    const answer = await sendRaw(proxy.port, request("POST", "/", fields, body));
    assert.equal(answer.status, 400);
    assert.ok(!answer.body.includes("planted"));
  }
  assert.deepEqual(logOf(proxy), [
    ...Array<string>(3).fill("warn request 400 ENVELOPE_MALFORMED"),
    "warn request 400 ENVELOPE_OPEN_FAILED",
  ]);
  assert.equal(workload.seen.length, 0);
});
