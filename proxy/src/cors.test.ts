import assert from "node:assert/strict";
import { test } from "node:test";
import { get, logLines, readProblem, request } from "../testing/proxy-answers.ts";
import { valuesOf } from "../testing/raw-answers.ts";
import type { RawAnswer } from "../testing/raw-answers.ts";
import { sendRaw, startProxy, startWorkload } from "../testing/running-proxy.ts";
import { openAnswer, responseKeyField } from "../testing/sealing.ts";

const PAGE = "https://page.example";
const cors = { origins: [PAGE, "https://other.example"] };
const origin = `origin: ${PAGE}`;

function preflight(from: string, ...fields: string[]): string {
  const asking = ["connection: close", `origin: ${from}`, "access-control-request-method: PATCH", ...fields];
  return request("OPTIONS", "/data", asking);
}

/** The fields of an answer that browsers read for this. */
function corsFields(answer: RawAnswer): [string, string][] {
  return answer.fields
    .filter(([name]) => name.startsWith("access-control-") || name === "vary")
    .map(([name, value]) => [name.replace("access-control-", ""), value]);
}

const allowed = (from: string) => [
  ["allow-origin", from],
  ["expose-headers", "polaris-error"],
  ["vary", "origin"],
];

test("a preflight is answered by the proxy, sealed or not, and never reaches the workload", async () => {
  await using workload = await startWorkload();
  const encryption = { requests: "required", responses: "required" } as const;
  await using proxy = await startProxy(workload.url, { cors, encryption });
  const names = "polaris-url, polaris-secure,content-type";
  for (const from of cors.origins) {
    const answer = await sendRaw(proxy.port, preflight(from, `access-control-request-headers: ${names}`));
    assert.equal(answer.status, 204);
    assert.deepEqual(corsFields(answer), [
      ...allowed(from),
      ["allow-methods", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"],
      ["allow-headers", names],
      ["max-age", "600"],
    ]);
  }
  assert.equal(workload.seen.length, 0);
  assert.deepEqual(await logLines(proxy, 2), ["info request 204", "info request 204"]);
});

test("a preflight for names that no header can have allows no headers", async () => {
  await using proxy = await startProxy("http://127.0.0.1:1", { cors });
  for (const names of ["", "x y", "x,,y", "x:y", "\u00e4"]) {
    const answer = await sendRaw(proxy.port, preflight(PAGE, `access-control-request-headers: ${names}`));
    assert.deepEqual(valuesOf(answer, "access-control-allow-headers"), [], names);
  }
});

test("a page of another origin gets answers that its browser keeps from it", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url, { cors });
  for (const from of [
    "https://planted.example",
    `${PAGE}.planted.example`,
    "null",
    "*",
    PAGE.toUpperCase(),
  ]) {
    assert.deepEqual(corsFields(await sendRaw(proxy.port, get("/", `origin: ${from}`))), [
      ["vary", "origin"],
    ]);
    const answer = await sendRaw(proxy.port, preflight(from));
    assert.equal(answer.status, 204);
    assert.deepEqual(valuesOf(answer, "access-control-allow-origin"), []);
  }
  assert.ok(!proxy.logText().includes("planted"));
});

test("every answer to an allowed page carries the fields: the workload's, the proxy's own, and problems", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url, { cors });
  const passed = await sendRaw(proxy.port, get("/", origin));
  const health = await sendRaw(proxy.port, get("/polaris-container/health", origin));
  const problem = await sendRaw(proxy.port, get("//", origin));
  const sealed = await sendRaw(proxy.port, get("/", origin, responseKeyField));
  assert.deepEqual(
    [passed, health, problem, sealed].map((answer) => [answer.status, corsFields(answer)]),
    [200, 200, 400, 200].map((status) => [status, allowed(PAGE)]),
  );
  assert.deepEqual(readProblem(problem), [400, "REQUEST_INVALID"]);
  assert.equal(openAnswer(sealed), "");
  // Without an origin, the answer may still be kept for a page that has one.
  assert.deepEqual(corsFields(await sendRaw(proxy.port, get("/"))), [["vary", "origin"]]);
});

test("the proxy's fields replace the workload's, and its other fields stay", async () => {
  await using workload = await startWorkload((_request, response) => {
    response.setHeader("Access-Control-Allow-Origin", "*");
    response.setHeader("access-control-allow-credentials", "true");
    response.setHeader("access-control-allow-methods", "PLANTED");
    response.setHeader("access-control-allow-headers", "planted");
    response.setHeader("access-control-max-age", "86400");
    response.setHeader("access-control-expose-headers", "x-own");
    response.setHeader("vary", "accept");
    response.end();
  });
  await using proxy = await startProxy(workload.url, { cors });
  assert.deepEqual(corsFields(await sendRaw(proxy.port, get("/", origin))), [
    ["expose-headers", "x-own"],
    ["vary", "accept"],
    ...allowed(PAGE),
  ]);
});

test("where every page may, none is named", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url, { cors: { origins: ["*"] } });
  for (const fields of [[origin], []]) {
    assert.deepEqual(corsFields(await sendRaw(proxy.port, get("/", ...fields))), [
      ["allow-origin", "*"],
      ["expose-headers", "polaris-error"],
    ]);
  }
  const answer = await sendRaw(proxy.port, preflight(PAGE));
  assert.deepEqual(valuesOf(answer, "access-control-allow-origin"), ["*"]);
});

test("where CORS is off, it is the workload's affair", async () => {
  await using workload = await startWorkload((request, response) => {
    response.writeHead(200, { "access-control-allow-origin": "*", vary: "accept" }).end(request.method);
  });
  await using proxy = await startProxy(workload.url);
  const answer = await sendRaw(proxy.port, preflight(PAGE));
  assert.deepEqual([answer.status, answer.body], [200, "OPTIONS"]);
  assert.deepEqual(corsFields(answer), [
    ["allow-origin", "*"],
    ["vary", "accept"],
  ]);
});

test("OPTIONS that is no preflight reaches the workload", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url, { cors });
  const asking = "access-control-request-method: GET";
  for (const fields of [[], [origin], [asking]]) {
    await sendRaw(proxy.port, request("OPTIONS", "/", ["connection: close", ...fields]));
  }
  assert.equal(workload.seen.length, 3);
});
