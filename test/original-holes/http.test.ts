// 1.5.9: upgrades, body codings and hop-by-hop headers.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import {
  createClient,
  createEphemeralKeyHandler,
  encodeBase64,
  importPublicKey,
  sealEnvelope,
} from "@polaris-cvm/sdk";
import { GOLDEN_VECTORS } from "../../proxy/testing/golden-vectors.ts";
import { sendRaw, startProxy, startWorkload } from "../../proxy/testing/running-proxy.ts";

const publicKey = GOLDEN_VECTORS.containerPublicKeyPem;
const recipient = await importPublicKey(publicKey);
const seal = async (plaintext: string): Promise<Buffer> =>
  Buffer.from(await sealEnvelope(Buffer.from(plaintext), recipient));
const keyHandler = createEphemeralKeyHandler({ modulusLength: 2048 });
const timeout = 5_000;

/** Speaks WebSocket (RFC 6455) as far as this: gives back each short text, and the good-bye. */
async function startWebSocketEcho(): Promise<{ url: string; upgrades: () => number } & AsyncDisposable> {
  let upgrades = 0;
  const server = createServer((_request, response) => void response.end("plain"));
  server.on("upgrade", (request, socket: Duplex) => {
    upgrades += 1;
    const accept = createHash("sha1")
      .update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest("base64");
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    socket.on("error", () => undefined);
    socket.on("data", (frame: Buffer) => {
      // From a client: opcode, masked length, mask of four bytes, data.
      if (frame[0] === 0x88) {
        socket.end(Buffer.of(0x88, 0));
        return;
      }
      const mask = frame.subarray(2, 6);
      const data = frame.subarray(6).map((byte, index) => byte ^ (mask[index % 4] ?? 0));
      socket.write(Buffer.concat([Buffer.of(0x81, data.length), data]));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    upgrades: () => upgrades,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

test(
  "1.5.9: a WebSocket got a plain 200; here it is passed on, both ways, where the exchange is in the clear",
  { timeout },
  async () => {
    await using workload = await startWebSocketEcho();
    await using proxy = await startProxy(workload.url);
    const socket = new WebSocket(proxy.url.replace("http", "ws"));
    await once(socket, "open");
    for (const text of ["first", "second"]) {
      const answered = once(socket, "message") as Promise<[MessageEvent]>;
      socket.send(text);
      assert.equal((await answered)[0].data, text);
    }
    const closed = once(socket, "close") as Promise<[CloseEvent]>;
    socket.close();
    assert.equal((await closed)[0].wasClean, true);
  },
);

test("1.5.9: a WebSocket that would have to be sealed is refused, and the workload never hears of it", async () => {
  await using workload = await startWebSocketEcho();
  const modes = [
    { encryption: { requests: "required", responses: "required" }, sealed: [] },
    { encryption: { requests: "off", responses: "required" }, sealed: [] },
    {
      encryption: { requests: "optional", responses: "optional" },
      sealed: [`polaris-secure: ${(await seal("{}")).toString("base64")}`],
    },
  ] as const;
  for (const { encryption, sealed } of modes) {
    await using proxy = await startProxy(workload.url, { encryption });
    const answer = await sendRaw(
      proxy.port,
      [
        "GET /socket HTTP/1.1",
        "host: proxy.example",
        "connection: close, upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
        ...sealed,
        "",
        "",
      ].join("\r\n"),
    );
    assert.equal(answer.status, 400, JSON.stringify(encryption));
    const { code, detail } = JSON.parse(answer.body) as Record<string, unknown>;
    assert.deepEqual(
      [code, detail],
      ["REQUEST_INVALID", "another protocol cannot be sealed, and only GET without a body asks for one"],
    );
  }
  assert.equal(workload.upgrades(), 0);
});

test("1.5.9: gzip of the workload was decoded and coded anew; here its bytes pass as they are", async () => {
  const coded = gzipSync("the workload's own bytes", { level: 1 });
  await using workload = await startWorkload((_request, response) => {
    const fields = { "content-encoding": "gzip", "content-length": coded.length, etag: '"of-the-coded"' };
    response.writeHead(200, fields).end(coded);
  });
  await using proxy = await startProxy(workload.url);
  const answer = await sendRaw(
    proxy.port,
    "GET / HTTP/1.1\r\nhost: proxy.example\r\nconnection: close\r\naccept-encoding: gzip\r\ncontent-length: 0\r\n\r\n",
  );
  const fields = new Map(answer.fields);
  assert.equal(fields.get("content-encoding"), "gzip");
  assert.equal(fields.get("etag"), '"of-the-coded"');
  assert.equal(fields.get("content-length"), String(coded.length));
  assert.deepEqual(Buffer.from(answer.body, "latin1"), coded);
  assert.equal(new Map(workload.seen[0]?.fields).get("accept-encoding"), "gzip");
});

test("1.5.9: what is sealed is never coded; the workload is asked for plain bytes, and a coded answer is refused", async () => {
  await using workload = await startWorkload(({ headers, url }, response) => {
    const wantsGzip = headers["accept-encoding"]?.includes("gzip") === true;
    if (!wantsGzip && url !== "/stubborn") response.end("plain");
    else response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync("coded"));
  });
  await using proxy = await startProxy(workload.url);
  const client = createClient({ url: proxy.url, publicKey, keyHandler });
  const response = await client.fetch("/", { headers: { "accept-encoding": "gzip" } });
  assert.deepEqual([response.headers.get("content-encoding"), await response.text()], [null, "plain"]);

  const refused = await client.fetch("/stubborn");
  assert.deepEqual(
    [refused.status, refused.headers.get("polaris-error")],
    [502, "WORKLOAD_RESPONSE_INVALID"],
  );
});

test("1.5.9: hop-by-hop headers inside the sealed ones reached the workload; here they end, and no second request comes out of a body", async () => {
  await using workload = await startWorkload((_request, response) => {
    response.writeHead(200, { connection: "x-hop", "x-hop": "1", "keep-alive": "timeout=9" }).end("ok");
  });
  await using proxy = await startProxy(workload.url);
  const sealedHeaders = {
    Connection: "keep-alive, x-named",
    "x-named": "1",
    "Keep-Alive": "timeout=9",
    "Transfer-Encoding": "chunked",
    "Content-Length": "0",
    "Proxy-Connection": "keep-alive",
    TE: "trailers",
    Trailer: "x-after",
    Upgrade: "websocket",
    "x-kept": "1",
  };
  const smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: workload\r\n\r\n";
  const headers = {
    "polaris-url": encodeBase64(await seal("/asked-for")),
    "polaris-secure": encodeBase64(await seal(JSON.stringify(sealedHeaders))),
  };
  const response = await fetch(proxy.url, { method: "POST", headers, body: await seal(smuggled) });
  assert.equal(await response.text(), "ok");
  assert.equal(response.headers.get("x-hop"), null);
  // On the same connection, where a rest of the first request would come before it.
  assert.equal(await (await fetch(`${proxy.url}/next`)).text(), "ok");

  assert.deepEqual(
    workload.seen.map(({ method, url, body }) => [method, url, body]),
    [
      ["POST", "/asked-for", smuggled],
      ["GET", "/next", ""],
    ],
  );
  assert.deepEqual(workload.seen[0]?.fields, [
    ["host", new URL(workload.url).host],
    ["connection", "keep-alive"],
    ["x-kept", "1"],
    ["x-forwarded-for", "127.0.0.1"],
    ["content-length", String(smuggled.length)],
  ]);
});
