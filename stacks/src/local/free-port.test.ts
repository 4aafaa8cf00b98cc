import assert from "node:assert/strict";
import { createServer } from "node:net";
import type { AddressInfo, Server } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { chooseFreePort, describePortHolder, isPortFree, listeningInodes } from "./free-port.ts";

async function listen(t: TestContext, host: string): Promise<number> {
  const server: Server = createServer();
  t.after(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return (server.address() as AddressInfo).port;
}

test("a port is taken while somebody listens on it, on loopback or everywhere, and free afterwards", async (t) => {
  for (const host of ["127.0.0.1", "0.0.0.0"]) {
    const server = createServer();
    t.after(() => server.close());
    await new Promise<void>((resolve) => server.listen(0, host, resolve));
    const { port } = server.address() as AddressInfo;
    assert.equal(await isPortFree(port), false);
    await new Promise((resolve) => server.close(resolve));
    assert.equal(await isPortFree(port), true);
  }
});

test("takes the preferred port if it is free and nobody else is promised it", async (t) => {
  const free = await chooseFreePort();
  assert.equal(await chooseFreePort({ preferred: free }), free);
  assert.notEqual(await chooseFreePort({ preferred: free, exclude: [free] }), free);
  const taken = await listen(t, "127.0.0.1");
  const other = await chooseFreePort({ preferred: taken });
  assert.notEqual(other, taken);
  assert.equal(await isPortFree(other), true);
});

test(
  "tells the program that holds a port, without its arguments",
  { skip: process.platform !== "linux" && "only Linux tells" },
  async (t) => {
    const port = await listen(t, "127.0.0.1");
    const holder = await describePortHolder(port);
    assert.match(holder ?? "", new RegExp(`^\\S+ \\(process ${process.pid}\\)$`));
    assert.equal(await describePortHolder(await chooseFreePort()), undefined);
  },
);

test("finds only listening sockets in the kernel's table, in both address families", () => {
  const table = [
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
    "   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 111 1 0 100 0 0 10 0",
    "   1: 0100007F:0BB8 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 222 1 0 20 4 30 10 -1",
    "   2: 0100007F:0BB9 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 333 1 0 100 0 0 10 0",
    "   3: 00000000000000000000000000000000:0BB8 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 444 1 0",
  ].join("\n");
  assert.deepEqual(listeningInodes(table, 3000), ["111", "444"]);
});
