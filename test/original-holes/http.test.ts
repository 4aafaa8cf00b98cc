// 1.5.9: upgrades, body codings and hop-by-hop headers.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { get } from "../../proxy/testing/proxy-answers.ts";
import { sendRaw, startProxy, startWorkload } from "../../proxy/testing/running-proxy.ts";
import { createSealingClient, sealBytes, sealText, secureField } from "../../proxy/testing/sealing.ts";
import { orAbort } from "../../sdk/src/single-flight.ts";

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
  async ({ signal }) => {
    await using workload = await startWebSocketEcho();
    await using proxy = await startProxy(workload.url);
    const socket = new WebSocket(proxy.url.replace("http", "ws"));
    await once(socket, "open", { signal });
    for (const text of ["first", "second"]) {
      const answered = once(socket, "message", { signal }) as Promise<[MessageEvent]>;
      socket.send(text);
      assert.equal((await answered)[0].data, text);
    }
    const closed = once(socket, "close", { signal }) as Promise<[CloseEvent]>;
    socket.close();
    assert.equal((await closed)[0].wasClean, true);
  },
);

test(
  "1.5.9: a WebSocket that would have to be sealed is refused, and the workload never hears of it",
  { timeout },
  async ({ signal }) => {
    await using workload = await startWebSocketEcho();
    const modes = [
      { encryption: { requests: "required", responses: "required" }, sealed: [] },
      { encryption: { requests: "off", responses: "required" }, sealed: [] },
      {
        encryption: { requests: "optional", responses: "optional" },
        sealed: [await secureField()],
      },
    ] as const;
    for (const { encryption, sealed } of modes) {
      await using proxy = await startProxy(workload.url, { encryption });
      const fields = ["connection: upgrade", "upgrade: websocket", ...sealed];
      const answer = await orAbort(signal, sendRaw(proxy.port, get("/socket", ...fields)));
      assert.equal(answer.status, 400, JSON.stringify(encryption));
      const { code, detail } = JSON.parse(answer.body) as Record<string, unknown>;
      assert.deepEqual(
        [code, detail],
        ["REQUEST_INVALID", "another protocol cannot be sealed, and only GET without a body asks for one"],
      );
    }
    assert.equal(workload.upgrades(), 0);
  },
);

test("1.5.9: gzip of the workload was decoded and coded anew; here its bytes pass as they are", async () => {
  const coded = gzipSync("the workload's own bytes", { level: 1 });
  await using workload = await startWorkload((_request, response) => {
    const fields = { "content-encoding": "gzip", "content-length": coded.length, etag: '"of-the-coded"' };
    response.writeHead(200, fields).end(coded);
  });
  await using proxy = await startProxy(workload.url);
  const answer = await sendRaw(proxy.port, get("/", "accept-encoding: gzip"));
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
  const client = createSealingClient(proxy.url);
  const response = await client.fetch("/", { headers: { "accept-encoding": "gzip" } });
  assert.deepEqual([response.headers.get("content-encoding"), await response.text()], [null, "plain"]);

  const refused = await client.fetch("/stubborn");
  assert.deepEqual(
    [refused.status, refused.headers.get("polaris-error")],
    [502, "WORKLOAD_RESPONSE_INVALID"],
  );
});

test(
  "1.5.9: hop-by-hop headers inside the sealed ones reached the workload; here they end, and no second request comes out of a body",
  { timeout },
  async ({ signal }) => {
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
      "polaris-url": await sealText("/asked-for"),
      "polaris-secure": await sealText(JSON.stringify(sealedHeaders)),
    };
    const body = await sealBytes(Buffer.from(smuggled));
    const response = await fetch(proxy.url, { method: "POST", headers, body, signal });
    assert.equal(await response.text(), "ok");
    assert.equal(response.headers.get("x-hop"), null);
    // On the same connection, where a rest of the first request would come before it.
    assert.equal(await (await fetch(`${proxy.url}/next`, { signal })).text(), "ok");
    assert.equal(workload.seen[0]?.peerPort, workload.seen[1]?.peerPort);

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
  },
);
