import assert from "node:assert/strict";
import { createHash, createPublicKey, generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { test, type TestContext } from "node:test";
import type { TLSSocket } from "node:tls";
import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import forge from "node-forge";
import { createPinnedTransport } from "./pinned-transport.ts";

interface Identity {
  readonly cert: string;
  readonly key: string;
  /** `sha256:<hex>` of the SPKI. */
  readonly keyHash: string;
}

/** A key pair, and a certificate that only it vouches for. */
function makeIdentity(): Identity {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey);
  certificate.validity.notBefore = new Date("2020-01-01T00:00:00Z");
  // Long expired, and for nobody's name: neither counts.
  certificate.validity.notAfter = new Date("2020-01-02T00:00:00Z");
  certificate.sign(forge.pki.privateKeyFromPem(privateKey), forge.md.sha256.create());
  const spki = createPublicKey(publicKey).export({ type: "spki", format: "der" });
  const keyHash = `sha256:${createHash("sha256").update(spki).digest("hex")}`;
  return { cert: forge.pki.certificateToPem(certificate), key: privateKey, keyHash };
}

const [identity, other] = [makeIdentity(), makeIdentity()];

type Answering = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

interface Endpoint {
  readonly url: string;
  readonly server: Server;
  /** Of each TLS connection: whether it took up an earlier session. */
  readonly resumed: boolean[];
  /** Targets of the requests. */
  readonly targets: string[];
}

async function serve(t: TestContext, answer: Answering, options: object = {}): Promise<Endpoint> {
  const [resumed, targets]: [boolean[], string[]] = [[], []];
  const server = createServer({ ...identity, ...options }, (request, response) => {
    targets.push(request.url ?? "");
    void answer(request, response);
  });
  server.on("secureConnection", (socket: TLSSocket) => resumed.push(socket.isSessionReused()));
  server.on("tlsClientError", () => undefined).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close().closeAllConnections());
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, server, resumed, targets };
}

/** A server that takes connections and says nothing; `onData` gets what came. */
async function serveSilence(t: TestContext, onConnection: (socket: Socket) => void): Promise<string> {
  const sockets: Socket[] = [];
  const server = createTcpServer((socket) => {
    sockets.push(socket.on("error", () => undefined));
    onConnection(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const ok: Answering = (_, response) => void response.end("ok");

/** Ends the connection too, so that the next request needs a new one. */
const okOnce: Answering = (_, response) => void response.setHeader("connection", "close").end("ok");

/** Some turns of the event loop. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await setImmediate();
}

/** Error with the code of what it was caused by. */
function failedFor(code: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof TypeError && error.message === "fetch failed", String(error));
    assert.equal((error.cause as { code?: string }).code, code);
    return true;
  };
}

test("sends requests and gives responses as fetch does", async (t) => {
  const { url } = await serve(t, async (request, response) => {
    const { method, headers } = request;
    const body = (await buffer(request)).toString();
    response.setHeader("set-cookie", ["a=1", "b=2"]).setHeader("x-answer", "yes");
    response.statusMessage = "Very Well";
    response.writeHead(201).end(JSON.stringify({ method, url: request.url, headers, body }));
  });
  const fetch = createPinnedTransport();
  const response = await fetch(`${url}/path?query#fragment`, {
    method: "POST",
    headers: { "x-question": "why" },
    body: "grüße",
  });
  assert.deepEqual([response.status, response.statusText, response.ok], [201, "Very Well", true]);
  assert.equal(response.headers.get("x-answer"), "yes");
  assert.deepEqual(response.headers.getSetCookie(), ["a=1", "b=2"]);
  assert.deepEqual(await response.json(), {
    method: "POST",
    url: "/path?query",
    headers: {
      "x-question": "why",
      "content-type": "text/plain;charset=UTF-8",
      "content-length": "7",
      host: new URL(url).host,
      connection: "keep-alive",
    },
    body: "grüße",
  });
  const request = new Request(new URL(url), { method: "PUT", body: new Uint8Array([0x61]) });
  const seen = (await (await fetch(request)).json()) as { method: string; body: string };
  assert.deepEqual([seen.method, seen.body], ["PUT", "a"]);
});

test("tells the key of its first connection", async (t) => {
  const { url } = await serve(t, ok);
  const fetch = createPinnedTransport();
  assert.equal(fetch.tlsPublicKeySha256(), undefined);
  await (await fetch(url)).text();
  assert.equal(fetch.tlsPublicKeySha256(), identity.keyHash);
});

test("sends nothing to an endpoint that comes back with another key", async (t) => {
  const { url, server, targets } = await serve(t, okOnce);
  const fetch = createPinnedTransport();
  await (await fetch(`${url}/first`)).text();
  server.setSecureContext(other);
  await assert.rejects(fetch(`${url}/second`, { method: "POST", body: "secret" }), {
    code: "TLS_KEY_MISMATCH",
    message: `${new URL(url).host} shows the TLS key ${other.keyHash}, expected ${identity.keyHash}`,
    details: { expected: identity.keyHash, actual: other.keyHash },
  });
  assert.deepEqual(targets, ["/first"]);
  assert.equal(fetch.tlsPublicKeySha256(), identity.keyHash);

  server.setSecureContext(identity);
  assert.equal(await (await fetch(`${url}/third`)).text(), "ok");
  assert.deepEqual(targets, ["/first", "/third"]);
});

test("checks the key by a whole handshake for each connection, also where the server would resume a session", async (t) => {
  const { url, resumed } = await serve(t, okOnce);
  const fetch = createPinnedTransport();
  for (let round = 0; round < 3; round++) await (await fetch(url)).text();
  assert.deepEqual(resumed, [false, false, false]);
});

test("keeps connections for the next request, and opens more for requests at the same time", async (t) => {
  const { url, resumed } = await serve(t, ok);
  const fetch = createPinnedTransport();
  for (let round = 0; round < 3; round++) await (await fetch(url)).text();
  assert.equal(resumed.length, 1);
  const responses = await Promise.all([fetch(url), fetch(url), fetch(url)]);
  assert.deepEqual(await Promise.all(responses.map((response) => response.text())), ["ok", "ok", "ok"]);
  assert.equal(resumed.length, 3);
});

test("takes no TLS older than 1.3, and no other scheme", async (t) => {
  const { url, targets } = await serve(t, ok, { maxVersion: "TLSv1.2" });
  const fetch = createPinnedTransport();
  await assert.rejects(fetch(url), failedFor("ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION"));
  await assert.rejects(fetch(url.replace("https", "http")), failedFor("ERR_INVALID_PROTOCOL"));
  assert.deepEqual(targets, []);
  assert.equal(fetch.tlsPublicKeySha256(), undefined);
});

test("gives no body where there is none", async (t) => {
  const { url, resumed } = await serve(t, (request, response) => {
    response.writeHead(
      Number(request.url?.slice(1)),
      request.method === "HEAD" ? { "content-length": 4 } : {},
    );
    response.end();
  });
  const fetch = createPinnedTransport();
  for (const [path, method] of [
    ["/200", "HEAD"],
    ["/204", "GET"],
    ["/304", "GET"],
  ] as const) {
    const response = await fetch(url + path, { method });
    assert.deepEqual([response.status, response.body], [Number(path.slice(1)), null]);
    await turns();
  }
  assert.equal(resumed.length, 1);
});

test("gives the first piece of a body before there is a second one", async (t) => {
  const { promise: read, resolve: tellRead } = Promise.withResolvers<void>();
  const { url } = await serve(t, async (_, response) => {
    response.write("first");
    await read;
    response.end("second");
  });
  const reader = (await createPinnedTransport()(url)).body!.getReader();
  const text = async (): Promise<string> => Buffer.from((await reader.read()).value ?? []).toString();
  assert.equal(await text(), "first");
  tellRead();
  assert.equal(await text(), "second");
  assert.equal(await text(), "");
});

test("cancel ends the connection, also while somebody waits for the next piece", async (t) => {
  const cut = Promise.withResolvers<void>();
  const { url } = await serve(t, (_, response) => void response.on("close", cut.resolve).write("first"));
  const reader = (await createPinnedTransport()(url)).body!.getReader();
  await reader.read();
  const next = reader.read();
  await reader.cancel();
  assert.deepEqual(await next, { done: true, value: undefined });
  await cut.promise;
});

test("decodes the content codings that fetch decodes, and says so when one is broken", async (t) => {
  const text = "hello ".repeat(1000);
  const bodies: Record<string, Buffer> = {
    gzip: gzipSync(text),
    "X-Gzip": gzipSync(text),
    deflate: deflateSync(text),
    br: brotliCompressSync(text),
    identity: Buffer.from(text),
    constructor: Buffer.from(text),
  };
  const { url } = await serve(t, (request, response) => {
    const coding = request.url!.slice(1);
    response.writeHead(200, { "content-encoding": coding }).end(bodies[coding] ?? "not gzip");
  });
  const fetch = createPinnedTransport();
  for (const coding of Object.keys(bodies)) {
    assert.equal(await (await fetch(`${url}/${coding}`)).text(), text, coding);
  }
  bodies["gzip"] = Buffer.from("not gzip");
  await assert.rejects((await fetch(`${url}/gzip`)).text(), { name: "TypeError", message: "terminated" });
});

test("rejects with the signal's reason, whenever it is aborted", async (t) => {
  const reason = new Error("changed my mind");
  const begun = Promise.withResolvers<void>();
  const never = await serve(t, () => begun.resolve());
  const endless = await serve(t, (_, response) => void response.write("first"));
  const connected = Promise.withResolvers<void>();
  const silent = await serveSilence(t, () => connected.resolve());
  const fetch = createPinnedTransport();
  const is = (error: unknown): boolean => error === reason;

  await assert.rejects(fetch(never.url, { signal: AbortSignal.abort(reason) }), is);
  assert.deepEqual(never.targets, []);

  const connecting = new AbortController();
  const connection = assert.rejects(fetch(silent, { signal: connecting.signal }), is);
  await connected.promise;
  connecting.abort(reason);
  await connection;

  const waiting = new AbortController();
  const answer = assert.rejects(fetch(never.url, { signal: waiting.signal }), is);
  await begun.promise;
  waiting.abort(reason);
  await answer;

  const reading = new AbortController();
  const pieces = (await fetch(endless.url, { signal: reading.signal })).body!.getReader();
  await pieces.read();
  const next = assert.rejects(pieces.read(), is);
  reading.abort(reason);
  await next;
});

test(
  "an abort gets through to the body of a Request, whatever was collected",
  { timeout: 5_000 },
  async (t) => {
    setFlagsFromString("--expose-gc");
    const collectGarbage = runInNewContext("gc") as () => void;
    const { url } = await serve(t, (_, response) => void response.write("first"));
    const fetch = createPinnedTransport();
    const controller = new AbortController();
    const start = async () => await fetch(new Request(url, { signal: controller.signal }));
    const reader = (await start()).body!.getReader();
    await reader.read();
    for (let round = 0; round < 5; round++) {
      collectGarbage();
      await turns();
    }
    controller.abort(new Error("enough"));
    await assert.rejects(reader.read(), { message: "enough" });
  },
);

test("fails as fetch does where nobody answers or an answer breaks off", async (t) => {
  const fetch = createPinnedTransport();
  await assert.rejects(fetch("https://127.0.0.1:1"), failedFor("ECONNREFUSED"));
  await assert.rejects(fetch(`https://${"x".repeat(64)}.invalid`), failedFor("ENOTFOUND"));
  const hangsUp = await serveSilence(t, (socket) => socket.once("data", () => socket.destroy()));
  await assert.rejects(fetch(hangsUp), failedFor("ECONNRESET"));
  const speaksHttp = await serveSilence(t, (socket) =>
    socket.once("data", () => socket.end("HTTP/1.1 400 \r\n\r\n")),
  );
  await assert.rejects(fetch(speaksHttp), failedFor("ERR_SSL_WRONG_VERSION_NUMBER"));

  const { url } = await serve(t, (request, response) => {
    if (request.url === "/head") response.destroy();
    else response.writeHead(200, { "content-length": "10" }).write("first", () => response.destroy());
  });
  await assert.rejects(fetch(`${url}/head`), failedFor("ECONNRESET"));
  await assert.rejects((await fetch(`${url}/body`)).text(), (error: unknown) => {
    assert.ok(error instanceof TypeError && error.message === "terminated", String(error));
    assert.equal((error.cause as { code?: string }).code, "ECONNRESET");
    return true;
  });
});

test("waits neither for a connection nor for an answer for ever", { timeout: 5_000 }, async (t) => {
  const closed = Promise.withResolvers<void>();
  const silent = await serveSilence(t, (socket) => void socket.resume().on("close", closed.resolve));
  const { url } = await serve(t, (request, response) => {
    if (request.url === "/body") response.write("first");
  });
  const fetch = createPinnedTransport({ connectTimeoutMs: 200, idleTimeoutMs: 200 });
  const causedBy = (message: string) => (error: unknown) => {
    assert.equal(((error as Error).cause as Error).message, message);
    return true;
  };
  await assert.rejects(fetch(silent), causedBy("no connection within 200 ms"));
  await closed.promise;
  await assert.rejects(fetch(`${url}/head`), causedBy("silent for 200 ms"));
  await assert.rejects((await fetch(`${url}/body`)).text(), causedBy("silent for 200 ms"));
});

test("returns redirects or refuses them, and follows none", async (t) => {
  const { url, targets } = await serve(
    t,
    (_, response) => void response.writeHead(307, { location: "/b" }).end(),
  );
  const fetch = createPinnedTransport();
  const response = await fetch(`${url}/a`, { redirect: "manual" });
  assert.deepEqual([response.status, response.headers.get("location")], [307, "/b"]);
  for (const redirect of ["follow", "error"] as const) {
    await assert.rejects(fetch(`${url}/a`, { redirect }), {
      name: "TypeError",
      cause: new Error("redirects are not followed here"),
    });
  }
  assert.deepEqual(targets, ["/a", "/a", "/a"]);
});

test("frames every body, and lets no caller do it", async (t) => {
  const { url, targets } = await serve(t, async (request, response) => {
    response.end(`${request.headers["content-length"]} ${(await buffer(request)).toString()}`);
  });
  const fetch = createPinnedTransport();
  const smuggled = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
  for (const method of ["DELETE", "OPTIONS", "POST"]) {
    const headers = { "content-length": "0" };
    const response = await fetch(`${url}/${method}`, { method, body: smuggled, headers });
    assert.equal(await response.text(), `${smuggled.length} ${smuggled}`);
  }
  for (const name of ["transfer-encoding", "connection", "upgrade"]) {
    const init = { method: "POST", headers: { [name]: "chunked" }, body: smuggled };
    await assert.rejects(fetch(url, init), {
      name: "TypeError",
      cause: new Error(`header ${name} belongs to the connection`),
    });
  }
  assert.deepEqual(targets, ["/DELETE", "/OPTIONS", "/POST"]);
});
