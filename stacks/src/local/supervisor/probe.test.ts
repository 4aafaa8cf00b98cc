import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { createTestAuthority } from "../../testing/certificates.ts";
import { askProbes, askReasons } from "./probe.ts";

async function serve(t: TestContext, answer: RequestListener, path?: string): Promise<number> {
  const server = createServer(answer);
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  await new Promise<void>((resolve) =>
    path === undefined ? server.listen(0, "127.0.0.1", resolve) : server.listen(path, resolve),
  );
  return path === undefined ? (server.address() as AddressInfo).port : 0;
}

async function makeFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-probe-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

test("an HTTP probe accepts the status that it expects and no other", async (t) => {
  const port = await serve(t, (request, response) => {
    response.statusCode = Number(request.url?.slice(1));
    response.end("body");
  });
  const ask = (status: number, expect: "200" | "2xx-3xx") =>
    askProbes([{ kind: "http", url: `http://127.0.0.1:${port}/${status}`, expect }]);
  for (const status of [200, 204, 302, 404, 500, 503]) {
    assert.equal(await ask(status, "200"), status === 200, `200: ${status}`);
    assert.equal(await ask(status, "2xx-3xx"), status < 400, `2xx-3xx: ${status}`);
  }
});

test("over TLS the status counts and the certificate does not; in the clear nobody answers there", async (t) => {
  const { certificatePem: cert, keyPem: key } = createTestAuthority().issue({ host: "elsewhere.example" });
  const server = createTlsServer({ cert, key }, (request, response) => {
    response.statusCode = Number(request.url?.slice(1));
    response.end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const ask = (url: string) => askProbes([{ kind: "http", url, expect: "200" }]);
  assert.equal(await ask(`https://127.0.0.1:${port}/200`), true);
  assert.equal(await ask(`https://127.0.0.1:${port}/503`), false);
  assert.equal(await ask(`http://127.0.0.1:${port}/200`), false);
});

test("an answer that never comes is none, after the probe's time", async (t) => {
  const port = await serve(t, () => {
    // Never answers.
  });
  const url = `http://127.0.0.1:${port}/`;
  assert.equal(await askProbes([{ kind: "http", url, expect: "200", timeoutMs: 50 }]), false);
  const controller = new AbortController();
  const asking = askProbes([{ kind: "http", url, expect: "200", timeoutMs: 60_000 }], controller.signal);
  controller.abort();
  assert.equal(await asking, false);
});

test("an endless body does not matter", async (t) => {
  const port = await serve(t, (_request, response) => {
    response.write("the first of many");
  });
  assert.equal(await askProbes([{ kind: "http", url: `http://127.0.0.1:${port}/`, expect: "200" }]), true);
});

test("why a proxy is not ready comes from its answer, if it is one of a proxy", async (t) => {
  const answers: Readonly<Record<string, readonly [status: number, body: string]>> = {
    "/one": [503, '{"status":"not-ready","reasons":["WORKLOAD_UNREACHABLE"]}'],
    "/two": [503, '{"status":"not-ready","reasons":["KEY_UNAVAILABLE","WORKLOAD_UNREACHABLE"]}'],
    "/ready": [200, '{"reasons":["WORKLOAD_UNREACHABLE"]}'],
    "/none": [503, '{"status":"not-ready","reasons":[]}'],
    "/words": [503, '{"reasons":["\\u001b[2Jgone"]}'],
    "/numbers": [503, '{"reasons":[1]}'],
    "/null": [503, "null"],
    "/text": [503, "not JSON"],
    "/long": [503, `{"reasons":["A"]}${" ".repeat(5000)}`],
  };
  const port = await serve(t, (request, response) => {
    const [status, body] = answers[request.url ?? ""] ?? [404, ""];
    response.writeHead(status).end(body);
  });
  const ask = (path: string) => askReasons(`http://127.0.0.1:${port}${path}`);
  assert.deepEqual(await ask("/one"), ["WORKLOAD_UNREACHABLE"]);
  assert.deepEqual(await ask("/two"), ["KEY_UNAVAILABLE", "WORKLOAD_UNREACHABLE"]);
  for (const path of ["/ready", "/none", "/words", "/numbers", "/null", "/text", "/long"]) {
    assert.equal(await ask(path), undefined, path);
  }
  assert.equal(await askReasons("http://127.0.0.1:1/one"), undefined);
});

test("TCP and socket probes succeed where somebody listens", async (t) => {
  const folder = await makeFolder(t);
  const path = join(folder, "agent.sock");
  const port = await serve(t, (_request, response) => response.end());
  await serve(t, (_request, response) => response.end(), path);
  assert.equal(
    await askProbes([
      { kind: "tcp", port },
      { kind: "socket", path },
    ]),
    true,
  );
  // Port 1 needs rights that nothing of a test has; nothing listens there.
  assert.equal(await askProbes([{ kind: "tcp", port: 1 }]), false);
  assert.equal(await askProbes([{ kind: "socket", path: join(folder, "other.sock") }]), false);
});

test("a file probe wants a file that is not empty", async (t) => {
  const path = join(await makeFolder(t), "token");
  assert.equal(await askProbes([{ kind: "file", path }]), false);
  await writeFile(path, "");
  assert.equal(await askProbes([{ kind: "file", path }]), false);
  await writeFile(path, "x");
  assert.equal(await askProbes([{ kind: "file", path }]), true);
});

test("a part without probes is ready; one with several only if all succeed", async (t) => {
  const port = await serve(t, (_request, response) => response.end());
  assert.equal(await askProbes([]), true);
  assert.equal(
    await askProbes([
      { kind: "tcp", port },
      { kind: "file", path: "/nonexistent" },
    ]),
    false,
  );
});
