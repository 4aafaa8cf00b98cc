import assert from "node:assert/strict";
import { createPrivateKey, privateDecrypt, constants } from "node:crypto";
import { once } from "node:events";
import { connect, createServer as createTcpServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { test } from "node:test";
import { createClient, encodeBase64, importPublicKey, sealEnvelope } from "@polaris-cvm/sdk";
import type { KeyHandler } from "@polaris-cvm/sdk";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { GOLDEN_VECTORS, createContainerKeyProvider, openAsOriginal } from "../testing/golden-vectors.ts";
import { sendRaw, startProxy, startWorkload } from "../testing/running-proxy.ts";
import type { RawAnswer } from "../testing/running-proxy.ts";

const recipient = await importPublicKey(GOLDEN_VECTORS.containerPublicKeyPem);
const sealText = async (text: string): Promise<string> =>
  encodeBase64(await sealEnvelope(Buffer.from(text), recipient));
const responseKey = Buffer.from(GOLDEN_VECTORS.clientPublicKeyPem).toString("base64");

const clientPrivateKey = createPrivateKey(GOLDEN_VECTORS.clientPrivateKeyPem);
const clientKeys: KeyHandler = {
  publicKeyPem: async () => GOLDEN_VECTORS.clientPublicKeyPem,
  unwrap: async (wrapped) => {
    const padding = constants.RSA_PKCS1_OAEP_PADDING;
    return privateDecrypt({ key: clientPrivateKey, padding, oaepHash: "sha256" }, wrapped);
  },
};

const bothWays = { encryption: { requests: "required", responses: "required" } } as const;

function valuesOf(message: Pick<RawAnswer, "fields">, name: string): string[] {
  return message.fields.flatMap(([field, value]) => (field === name ? [value] : []));
}

/** Code and status of a problem, after checking that it has the one shape. */
function readProblem(answer: RawAnswer): [status: number, code: string] {
  const problem = JSON.parse(answer.body) as Record<string, unknown>;
  assert.equal(problem["type"], "about:blank");
  assert.equal(problem["status"], answer.status);
  assert.match(String(problem["requestId"]), /^[0-9a-f-]{36}$/);
  assert.deepEqual(valuesOf(answer, "content-type"), ["application/problem+json"]);
  assert.deepEqual(valuesOf(answer, "polaris-error"), [problem["code"]]);
  return [answer.status, String(problem["code"])];
}

function detailOf(answer: RawAnswer): unknown {
  return (JSON.parse(answer.body) as Record<string, unknown>)["detail"];
}

const get = (path: string, ...fields: string[]): string =>
  [`GET ${path} HTTP/1.1`, "host: proxy.example", "connection: close", ...fields, "", ""].join("\r\n");

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
    const opened = openAsOriginal(answer.body, GOLDEN_VECTORS.clientPrivateKeyPem);
    assert.equal(opened.toString(), exchange.response.bodyUtf8);
  });
}

test("the workload sees the sealed headers of the original client and none of the outer ones", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url, bothWays);
  await sendRaw(proxy.port, Buffer.from(GOLDEN_VECTORS.exchanges[0]!.requestRawBase64, "base64"));
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
  const client = createClient({
    url: proxy.url,
    publicKey: GOLDEN_VECTORS.containerPublicKeyPem,
    keyHandler: clientKeys,
  });
  const response = await client.fetch("/echo?secret=1", { method: "POST", body: "hello" });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "text/plain");
  assert.equal(await response.text(), "hello");
  assert.deepEqual([workload.seen[0]?.method, workload.seen[0]?.url], ["POST", "/echo?secret=1"]);

  const head = await client.fetch("/", { method: "HEAD" });
  assert.equal(head.status, 200);
  assert.equal(await head.text(), "");
});

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
  const answer = await sendRaw(
    proxy.port,
    [
      "PUT /a%20b?x=1&y= HTTP/1.1",
      "Host: public.example",
      "Connection: close, x-hop",
      "X-Hop: 1",
      "X-Kept: 2",
      "TE: trailers",
      "X-Forwarded-For: 203.0.113.9",
      "Expect: 100-continue",
      "Accept-Encoding: br",
      "Polaris-Forged: 1",
      "Content-Length: 4",
      "",
      "data",
    ].join("\r\n"),
  );
  // The interim answer to Expect comes first, from this hop.
  assert.equal(answer.status, 100);
  const final = answer.body.split("\r\n");
  assert.equal(final[0], "HTTP/1.1 201 Created");
  assert.deepEqual(final.slice(1, 5), ["set-cookie: a=1", "set-cookie: b=2", "X-Mixed: v", 'etag: "e"']);
  assert.ok(!answer.body.includes("FORGED"));
  assert.equal(final.at(-1), "made");

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

test("what ends at this hop also ends here when it was sealed, and cannot split a request in two", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const smuggled = await sealText(
    JSON.stringify({
      "Transfer-Encoding": "chunked",
      "Content-Length": "0",
      Connection: "x-named",
      "x-named": "1",
      Upgrade: "websocket",
      Host: "elsewhere.example",
      "polaris-forged": "1",
      "x-kept": "2",
    }),
  );
  await sendRaw(proxy.port, get("/", `polaris-secure: ${smuggled}`));
  assert.deepEqual(workload.seen[0]?.fields, [
    ["host", new URL(workload.url).host],
    ["connection", "keep-alive"],
    ["x-kept", "2"],
    ["x-forwarded-for", "127.0.0.1"],
  ]);
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
    for (const fields of [[], [`polaris-response-public-key: ${responseKey}`]]) {
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
    // A raw workload: Node's own server would not send this.
    const server = createTcpServer((socket) => {
      socket.once("data", () =>
        socket.end(`HTTP/1.1 ${status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`),
      );
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    await using proxy = await startProxy(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const answer = await sendRaw(proxy.port, get("/"));
    server.close();
    assert.equal(answer.status, status);
    assert.deepEqual(valuesOf(answer, "content-length"), status === 205 ? ["0"] : []);
  });
}

test("sealed headers are refused where requests are clear, and never reach the workload", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url, { encryption: { requests: "off", responses: "off" } });
  const secure = `polaris-secure: ${await sealText("{}")}`;
  assert.deepEqual(readProblem(await sendRaw(proxy.port, get("/", secure))), [400, "ENCRYPTION_OFF"]);
  const key = `polaris-response-public-key: ${responseKey}`;
  assert.deepEqual(readProblem(await sendRaw(proxy.port, get("/", key))), [400, "ENCRYPTION_OFF"]);
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
  assert.equal(openAsOriginal(answer.body, GOLDEN_VECTORS.clientPrivateKeyPem).toString(), "");
  assert.equal(workload.seen[0]?.url, "/inner");
  assert.ok(!workload.seen[0]?.fields.some(([name]) => name.startsWith("x-url") || name.startsWith("x-key")));
});

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
});

test("TRACE, which would show opened headers, is not forwarded", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const trace = get("/", `polaris-secure: ${await sealText('{"authorization":"Bearer t"}')}`).replace(
    "GET",
    "TRACE",
  );
  assert.deepEqual(readProblem(await sendRaw(proxy.port, trace)), [400, "REQUEST_INVALID"]);
  assert.equal(workload.seen.length, 0);
});

test("a URL in the clear must be one too", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  for (const target of ["http://elsewhere.example/", "//elsewhere.example/"]) {
    assert.deepEqual(readProblem(await sendRaw(proxy.port, get(target))), [400, "REQUEST_INVALID"]);
  }
  assert.equal(workload.seen.length, 0);
});

test("bodies above the limit are refused, announced or not, and at the limit taken", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url, { limits: { maxBodyBytes: 100_000 } });
  const post = (body: Buffer | ReadableStream) => fetch(proxy.url, { method: "POST", body, duplex: "half" });
  const stream = (size: number) => new Blob([Buffer.alloc(size)]).stream();

  assert.equal((await post(Buffer.alloc(100_000))).status, 200);
  assert.equal((await post(stream(100_000))).status, 200);
  for (const body of [Buffer.alloc(100_001), stream(100_001), Buffer.alloc(5_000_000), stream(5_000_000)]) {
    const response = await post(body);
    assert.equal(response.status, 413);
    assert.equal(response.headers.get("polaris-error"), "BODY_TOO_LARGE");
  }
  assert.equal(workload.seen.length, 2);
});

test("64 KiB of headers are read, more are refused with a clear answer", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const many = Array.from({ length: 3000 }, (_, index) => `x-${index}: 1`);
  assert.equal((await sendRaw(proxy.port, get("/", ...many))).status, 200);
  assert.equal(workload.seen[0]?.fields.filter(([name]) => name.startsWith("x-")).length, 3001);

  const answer = await sendRaw(proxy.port, get("/", `x-large: ${"x".repeat(66_000)}`));
  assert.deepEqual(readProblem(answer), [431, "REQUEST_INVALID"]);
});

test("bytes that are no request get a clear answer and a line in the log", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const twoLengths = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab";
  const bothKinds =
    "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
  for (const bytes of ["nonsense\r\n\r\n", twoLengths, bothKinds]) {
    assert.deepEqual(readProblem(await sendRaw(proxy.port, bytes)), [400, "REQUEST_INVALID"]);
  }
  assert.equal(workload.seen.length, 0);
  assert.deepEqual(
    proxy.log().map(({ level, code }) => `${String(level)} ${String(code)}`),
    Array(3).fill("warn REQUEST_INVALID"),
  );
});

test("protocol upgrades are refused, and the offer of HTTP/2 is passed over", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const upgrade = (protocol: string) =>
    sendRaw(
      proxy.port,
      get("/").replace("close", "close, upgrade").replace("host", `upgrade: ${protocol}\r\nhost`),
    );
  assert.deepEqual(readProblem(await upgrade("websocket")), [400, "REQUEST_INVALID"]);
  assert.equal(workload.seen.length, 0);
  assert.equal((await upgrade("h2c")).status, 200);
  assert.equal(workload.seen.length, 1);
});

/** A workload below HTTP: does what it is told with each connection. */
async function startTcpWorkload(onRequest: (socket: Socket) => void) {
  const server = createTcpServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => onRequest(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.close();
    },
  };
}

const BAD_WORKLOADS: readonly [
  what: string,
  answer: string | undefined,
  expected: [status: number, code: string, detail: string],
][] = [
  ["closes without an answer", "", [502, "WORKLOAD_UNREACHABLE", "cannot reach the workload"]],
  ["never answers", undefined, [504, "WORKLOAD_TIMEOUT", "the workload has not answered in time"]],
  [
    "talks no HTTP",
    "220 planted\r\n",
    [502, "WORKLOAD_RESPONSE_INVALID", "the workload's answer is broken off or is not HTTP"],
  ],
  [
    "breaks off",
    "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
    [502, "WORKLOAD_RESPONSE_INVALID", "the workload's answer is broken off or is not HTTP"],
  ],
  [
    "answers with too many headers",
    `HTTP/1.1 200 OK\r\nx: ${"x".repeat(70_000)}\r\n\r\n`,
    [502, "WORKLOAD_RESPONSE_INVALID", "the workload's answer is broken off or is not HTTP"],
  ],
  [
    "answers with too long a body",
    `HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n${"x".repeat(1001)}`,
    [502, "WORKLOAD_RESPONSE_INVALID", "the workload's answer is longer than 1000 bytes"],
  ],
  [
    "switches protocols",
    "HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n",
    [502, "WORKLOAD_RESPONSE_INVALID", "the workload's answer is broken off or is not HTTP"],
  ],
];

for (const [what, answer, expected] of BAD_WORKLOADS) {
  test(`a workload that ${what} is our fault and not the client's`, async () => {
    await using workload = await startTcpWorkload((socket) => {
      if (answer !== undefined) socket.end(answer);
    });
    await using proxy = await startProxy(workload.url, {
      limits: { maxBodyBytes: 1000 },
      workload: { timeoutMs: 50 },
    });
    const problem = await sendRaw(proxy.port, get("/"));
    assert.deepEqual([...readProblem(problem), detailOf(problem)], expected);
    assert.ok(!problem.body.includes("planted"));
    assert.deepEqual(
      proxy
        .log()
        .map((line) => [line["level"], line["code"], String(line["reason"]).startsWith("the workload")]),
      [["error", expected[1], expected[1] !== "WORKLOAD_UNREACHABLE"]],
    );
  });
}

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
    const answer = await sendRaw(proxy.port, get("/", `polaris-response-public-key: ${responseKey}`));
    assert.deepEqual(readProblem(answer), [502, "WORKLOAD_RESPONSE_INVALID"]);
    assert.equal(detailOf(answer), `the workload sent ${shown} although identity was asked for`);
  }
});

test("interim answers of the workload are passed over", async () => {
  await using workload = await startTcpWorkload((socket) => {
    socket.end("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  });
  await using proxy = await startProxy(workload.url);
  const answer = await sendRaw(proxy.port, get("/"));
  assert.deepEqual([answer.status, answer.body], [200, "ok"]);
});

test("a workload that is not there is said so", async () => {
  await using proxy = await startProxy("http://127.0.0.1:1");
  assert.deepEqual(readProblem(await sendRaw(proxy.port, get("/"))), [502, "WORKLOAD_UNREACHABLE"]);
});

test("a key that is away is our fault, a refused attestation too", async () => {
  await using workload = await startWorkload();
  const cases = [
    ["KEY_UNAVAILABLE", "the proxy has no key now, and keeps asking for it"],
    ["KEY_RELEASE_DENIED", "the key service does not let this machine use its key"],
  ] as const;
  for (const [code, detail] of cases) {
    const container = await createContainerKeyProvider();
    const keys = { ...container, unwrap: () => Promise.reject(new PolarisError(code, "the key is away")) };
    await using proxy = await startProxy(workload.url, { keys });
    const answer = await sendRaw(proxy.port, get("/", `polaris-secure: ${await sealText("{}")}`));
    assert.deepEqual(readProblem(answer), [503, code]);
    assert.equal(detailOf(answer), detail);
    assert.ok(!answer.body.includes("the key is away"));
  }
});

test("what nobody foresaw is an internal error that says nothing but the id of the request", async () => {
  await using workload = await startWorkload();
  const container = await createContainerKeyProvider();
  const keys = { ...container, unwrap: () => Promise.reject(new TypeError("planted-secret")) };
  await using proxy = await startProxy(workload.url, { keys });
  const answer = await sendRaw(proxy.port, get("/", `polaris-secure: ${await sealText("{}")}`));
  assert.deepEqual(readProblem(answer), [500, "INTERNAL"]);
  assert.equal(detailOf(answer), undefined);
  const [line] = proxy.log();
  assert.equal(line?.["requestId"], (JSON.parse(answer.body) as { requestId: string }).requestId);
  assert.match(String(line?.["reason"]), /^TypeError at server\.test\.ts:\d+$/);
  assert.ok(!(answer.body + proxy.logText()).includes("planted-secret"));
});

test("every cryptographic failure has one answer", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const other = await importPublicKey(GOLDEN_VECTORS.clientPublicKeyPem);
  const good = Buffer.from(await sealEnvelope(Buffer.from("{}"), recipient));
  const flippedTag = Buffer.from(good);
  flippedTag[flippedTag.length - 1]! ^= 1;
  const wrongKey = Buffer.from(await sealEnvelope(Buffer.from("{}"), other));
  const bodies: string[] = [];
  for (const message of [flippedTag, wrongKey]) {
    const answer = await sendRaw(proxy.port, get("/", `polaris-secure: ${message.toString("base64")}`));
    assert.deepEqual(readProblem(answer), [400, "ENVELOPE_OPEN_FAILED"]);
    bodies.push(answer.body.replace(/"requestId":"[^"]+"/, ""));
  }
  assert.equal(bodies[0], bodies[1]);
  assert.match(bodies[0] ?? "", /"detail":"cannot open envelope"/);
});

test("a client that goes away frees the workload, and nobody answers it", async () => {
  const { promise: gone, resolve: tellGone } = Promise.withResolvers<void>();
  const { promise: asked, resolve: tellAsked } = Promise.withResolvers<void>();
  await using workload = await startTcpWorkload((socket) => {
    tellAsked();
    socket.once("close", () => tellGone());
  });
  await using proxy = await startProxy(workload.url);
  const client = connect(proxy.port, "127.0.0.1");
  client.write(get("/"));
  await asked;
  client.destroy();
  await gone;
  assert.deepEqual(
    proxy.log().map(({ event, level }) => [event, level]),
    [["request-given-up", "info"]],
  );
});

test("nothing of what passes through is in the log", async () => {
  await using workload = await startWorkload((_request, response) => {
    response.writeHead(200, { "set-cookie": "planted-cookie" }).end("planted-answer");
  });
  await using proxy = await startProxy(workload.url, { logLevel: "trace", limits: { maxBodyBytes: 10_000 } });
  const client = createClient({
    url: proxy.url,
    publicKey: GOLDEN_VECTORS.containerPublicKeyPem,
    keyHandler: clientKeys,
  });
  const init = {
    method: "POST",
    body: "planted-plaintext",
    headers: { authorization: "Bearer planted-token" },
  };
  await client.fetch("/planted-path?q=planted-query", init);
  await fetch(`${proxy.url}/planted-path?q=planted-query`, init);
  await fetch(`${proxy.url}/polaris-container/planted-route?planted-query`);
  await sendRaw(proxy.port, get("//planted-host/planted-path", "x: planted-header"));
  await sendRaw(proxy.port, get("/", "polaris-secure: planted-secure"));
  await sendRaw(proxy.port, "planted-bytes\r\n\r\n");
  await fetch(proxy.url, { method: "POST", body: "planted-".repeat(2000) });
  await client.fetch("/", { ...init, headers: { "x-planted-name": "planted-value" } });

  assert.ok(proxy.log().length >= 8);
  assert.ok(!proxy.logText().includes("planted"));
  const allowed =
    "level,time,event,requestId,method,status,durationMs,bytesIn,bytesOut,keyProvider,keyId,port,code,reason";
  for (const line of proxy.log()) {
    for (const name of Object.keys(line)) assert.ok(allowed.split(",").includes(name), name);
  }
});

test("each request has one line, with the size of what passed", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  await fetch(`${proxy.url}/`, { method: "POST", body: "12345" });
  const [line, ...others] = proxy.log();
  assert.equal(others.length, 0);
  const { event, level, method, status, bytesIn, bytesOut } = line ?? {};
  assert.deepEqual(
    { event, level, method, status, bytesIn, bytesOut },
    { event: "request", level: "info", method: "POST", status: 200, bytesIn: 5, bytesOut: 5 },
  );
  assert.equal(typeof line?.["durationMs"], "number");
});

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
    await using proxy = await startProxy(workload.url);
    const answer = sendRaw(proxy.port, get("/").replace("connection: close\r\n", ""));
    await asked;
    const closed = proxy.close();
    await assert.rejects(fetch(proxy.url));
    letGo();
    assert.equal((await answer).body, "late");
    await closed;
  },
);
