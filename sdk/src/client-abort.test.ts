import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type Client, createClient } from "./client.ts";
import { createEphemeralKeyHandler } from "./key-handler.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Collects also what only becomes garbage with the first collection. */
async function collectAll(): Promise<void> {
  for (let round = 0; round < 5; round++) {
    collectGarbage();
    await setImmediate();
  }
}

const keyHandler = createEphemeralKeyHandler({ modulusLength: 2048 });
const publicKey = await keyHandler.publicKeyPem();

/** A server whose answers begin and never end. */
async function startEndless(
  t: TestContext,
): Promise<{ url: string; begun: Promise<void>; cut: Promise<void> }> {
  const begun = Promise.withResolvers<void>();
  const cut = Promise.withResolvers<void>();
  const server = createServer((_, res) => {
    res.on("close", () => cut.resolve());
    res.writeHead(200).write("A", () => begun.resolve());
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close().closeAllConnections());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, begun: begun.promise, cut: cut.promise };
}

type Start = (client: Client, url: string, signal: AbortSignal) => Promise<Response>;

const STARTS: Readonly<Record<string, Start>> = {
  "a signal beside the URL": (client, url, signal) => client.fetch(url, { signal }),
  "the signal of a Request": (client, url, signal) => client.fetch(new Request(url, { signal })),
  "a signal beside a Request": (client, url, signal) => client.fetch(new Request(url), { signal }),
};

for (const [what, start] of Object.entries(STARTS)) {
  test(`${what} ends an endless clear response, whatever was collected`, { timeout: 5_000 }, async (t) => {
    const { url, cut } = await startEndless(t);
    const client = createClient({ url, publicKey, responses: "clear" });
    const controller = new AbortController();
    const reader = (await start(client, url, controller.signal)).body!.getReader();
    await reader.read();
    await collectAll();
    controller.abort(new Error("enough"));
    await assert.rejects(reader.read(), { message: "enough" });
    await cut;
  });

  test(
    `${what} ends the wait for a sealed response, whatever was collected`,
    { timeout: 5_000 },
    async (t) => {
      const { url, begun, cut } = await startEndless(t);
      const client = createClient({ url, publicKey, keyHandler });
      const controller = new AbortController();
      const outcome = assert.rejects(start(client, url, controller.signal), { message: "enough" });
      await begun;
      await collectAll();
      controller.abort(new Error("enough"));
      await outcome;
      await cut;
    },
  );
}

test("a signal of null stands for none, as in fetch", async (t) => {
  const { url } = await startEndless(t);
  const client = createClient({ url, publicKey, responses: "clear" });
  const request = new Request(url, { signal: AbortSignal.abort(new Error("not this one")) });
  const response = await client.fetch(request, { signal: null });
  assert.equal(response.status, 200);
  await response.body?.cancel();
});
