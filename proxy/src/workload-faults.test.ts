import assert from "node:assert/strict";
import { test } from "node:test";
import { assertAlive, detailOf, get, logLines, readProblem, request } from "../testing/proxy-answers.ts";
import { parseAnswers } from "../testing/raw-answers.ts";
import { openRaw, startTcpWorkload } from "../testing/raw-connection.ts";
import { sendRaw, startProxy, startWorkload } from "../testing/running-proxy.ts";
import { responseKeyField } from "../testing/sealing.ts";

const UNREACHABLE = [502, "WORKLOAD_UNREACHABLE", "cannot reach the workload"] as const;
const TIMEOUT = [504, "WORKLOAD_TIMEOUT", "the workload has not answered in time"] as const;
const INVALID = [
  502,
  "WORKLOAD_RESPONSE_INVALID",
  "the workload's answer is broken off or is not HTTP",
] as const;

const BAD_ANSWERS: readonly [
  what: string,
  answer: string | undefined,
  expected: readonly [number, string, string],
][] = [
  ["closes without an answer", "", UNREACHABLE],
  ["never answers", undefined, TIMEOUT],
  ["talks no HTTP", "220 planted\r\n", INVALID],
  ["breaks off its head", "HTTP/1.1 200 OK\r\nx: planted", UNREACHABLE],
  ["only gives an interim answer", "HTTP/1.1 103 Early Hints\r\nlink: planted\r\n\r\n", UNREACHABLE],
  // undici takes no other 100 than one that it has asked for.
  ["says 100 unasked", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", INVALID],
  [
    "answers with a head above the limit",
    `HTTP/1.1 200 OK\r\nx: ${"planted".repeat(10_000)}\r\n\r\n`,
    INVALID,
  ],
  ["answers with 10 MiB of headers", `HTTP/1.1 200 OK\r\n${"x: planted\r\n".repeat(900_000)}\r\n`, INVALID],
  ["switches protocols unasked", "HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\nplanted", INVALID],
  ["gives two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 7\r\ncontent-length: 3\r\n\r\nplanted", INVALID],
  [
    "gives a length and chunks",
    "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n7\r\nplanted\r\n0\r\n\r\n",
    INVALID,
  ],
  ["gives no number for a length", "HTTP/1.1 200 OK\r\ncontent-length: planted\r\n\r\n", INVALID],
  ["gives a status of two digits", "HTTP/1.1 99 Planted\r\n\r\n", INVALID],
  ["gives a status of four digits", "HTTP/1.1 2000 Planted\r\ncontent-length: 0\r\n\r\n", INVALID],
  ["gives a status below all", "HTTP/1.1 099 Planted\r\ncontent-length: 0\r\n\r\n", INVALID],
  [
    "gives a status that HTTP does not know",
    "HTTP/1.1 600 Planted\r\ncontent-length: 0\r\n\r\n",
    [502, "WORKLOAD_RESPONSE_INVALID", "the workload's status is none of HTTP"],
  ],
  ["speaks another version", "HTTP/3.0 200 Planted\r\n\r\n", INVALID],
  ["folds a line", "HTTP/1.1 200 OK\r\nx: planted\r\n planted\r\ncontent-length: 0\r\n\r\n", INVALID],
  ["puts NUL into a header", "HTTP/1.1 200 OK\r\nx: planted\0\r\ncontent-length: 0\r\n\r\n", INVALID],
  ["ends lines with bare CR", "HTTP/1.1 200 OK\r\nx: planted\ry: 1\r\ncontent-length: 0\r\n\r\n", INVALID],
];

for (const [what, answer, [status, code, detail]] of BAD_ANSWERS) {
  for (const [how, fields] of [
    ["", []],
    [", sealed too", [responseKeyField]],
  ] as const) {
    test(`a workload that ${what} is our fault and not the client's${how}`, async () => {
      await using workload = await startTcpWorkload((connection) => {
        if (answer !== undefined) connection.send(answer).stream.end();
      });
      await using proxy = await startProxy(workload.url, { workload: { timeoutMs: 50 } });
      using client = openRaw(proxy.port).send(get("/", ...fields));
      const final = (await client.answers()).at(-1);
      assert.ok(final);
      assert.deepEqual([...readProblem(final), detailOf(final)], [status, code, detail]);
      assert.ok(!final.body.includes("planted") && !proxy.logText().includes("planted"));
      assert.deepEqual(await logLines(proxy, 1), [`error request ${status} ${code}`]);
      assert.match(String(proxy.log()[0]?.["reason"]), /^(the workload|cannot reach the workload)/);
      await assertAlive(proxy);
    });
  }
}

test("a workload that is not there is said so", async () => {
  await using proxy = await startProxy("http://127.0.0.1:1");
  const answer = await sendRaw(proxy.port, get("/"));
  assert.deepEqual([...readProblem(answer), detailOf(answer)], [...UNREACHABLE]);
  assert.deepEqual(await logLines(proxy, 1), ["error request 502 WORKLOAD_UNREACHABLE"]);
});

const BROKEN_OFF: readonly [what: string, begun: string][] = [
  ["of known length", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nplant"],
  ["in chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nplant\r\n"],
  ["with a bad chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nplant\r\nzz\r\n"],
];

for (const [what, begun] of BROKEN_OFF) {
  for (const version of ["1.1", "1.0"]) {
    test(`an answer ${what} that breaks off never looks complete in HTTP/${version}`, async () => {
      await using workload = await startTcpWorkload((connection) => void connection.send(begun));
      await using proxy = await startProxy(workload.url);
      const asked = workload.next();
      using client = openRaw(proxy.port).send(`GET / HTTP/${version}\r\nhost: h\r\n\r\n`);
      await client.until("plant");
      (await asked).stream.end();
      const how = await client.ended;
      if (version === "1.0") assert.equal(how, "ECONNRESET");
      else assert.equal(parseAnswers(client.text)[0]?.isWhole, false);
      assert.deepEqual(await logLines(proxy, 1), ["error request 502 WORKLOAD_RESPONSE_INVALID"]);
      assert.ok(!proxy.logText().includes("plant"));
      await assertAlive(proxy);
    });
  }
}

test("an answer that stops in the middle is cut off after the workload's time", async () => {
  await using workload = await startTcpWorkload((connection) => {
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nplant");
  });
  await using proxy = await startProxy(workload.url, { workload: { timeoutMs: 50 } });
  using client = openRaw(proxy.port).send(request("GET", "/"));
  await client.ended;
  assert.equal(parseAnswers(client.text)[0]?.isWhole, false);
  assert.deepEqual(await logLines(proxy, 1), ["error request 504 WORKLOAD_TIMEOUT"]);
});

test("what a workload says behind its answer is nobody's", async () => {
  const poison = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\npoisoned";
  await using workload = await startTcpWorkload((connection) => {
    connection.send(`HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok${poison}`);
  });
  await using proxy = await startProxy(workload.url);
  for (let count = 0; count < 3; count += 1) {
    assert.equal((await sendRaw(proxy.port, get("/"))).body, "ok");
  }
  assert.deepEqual(await logLines(proxy, 3), Array(3).fill("info request 200"));
});

test("a workload that closes a connection between two requests costs nobody an answer", async () => {
  await using workload = await startWorkload((_request, response) => {
    response.writeHead(200, { connection: "close" }).end("ok");
  });
  await using proxy = await startProxy(workload.url);
  for (let count = 0; count < 5; count += 1) {
    assert.equal((await sendRaw(proxy.port, get("/"))).body, "ok");
  }
});
