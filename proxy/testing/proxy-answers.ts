/** What the proxy itself says: its problems to clients, and its lines in the log. */
import assert from "node:assert/strict";
import type { RunningProxy } from "./running-proxy.ts";
import { valuesOf } from "./raw-answers.ts";
import type { RawAnswer } from "./raw-answers.ts";
import { sendRaw } from "./running-proxy.ts";

/** Text of a request that is the last on its connection. */
export function get(path: string, ...fields: string[]): string {
  return request("GET", path, ["connection: close", ...fields]);
}

export function request(method: string, path: string, fields: readonly string[] = [], body = ""): string {
  return [`${method} ${path} HTTP/1.1`, "host: proxy.example", ...fields, "", body].join("\r\n");
}

/** Status and code of a problem, after checking that it has the one shape. */
export function readProblem(answer: RawAnswer): [status: number, code: string] {
  const problem = JSON.parse(answer.body) as Record<string, unknown>;
  assert.equal(answer.isWhole, true);
  assert.equal(problem["type"], "about:blank");
  assert.equal(problem["status"], answer.status);
  assert.match(String(problem["requestId"]), /^[0-9a-f-]{36}$/);
  assert.deepEqual(valuesOf(answer, "content-type"), ["application/problem+json"]);
  assert.deepEqual(valuesOf(answer, "cache-control"), ["no-store"]);
  assert.deepEqual(valuesOf(answer, "polaris-error"), [problem["code"]]);
  return [answer.status, String(problem["code"])];
}

export function detailOf(answer: RawAnswer): unknown {
  return (JSON.parse(answer.body) as Record<string, unknown>)["detail"];
}

/** The log in short: `level event status code` of each line, without what is not there. */
export function logOf(proxy: Pick<RunningProxy, "log">): string[] {
  return proxy.log().map(({ level, event, status, code }) =>
    [level, event, status, code]
      .filter((part) => part !== undefined)
      .map(String)
      .join(" "),
  );
}

/** Resolves once the log has so many lines. */
export async function logLines(proxy: RunningProxy, count: number): Promise<string[]> {
  await proxy.untilLogged(count);
  return logOf(proxy);
}

/** Checks that a proxy still answers, in a request that is not in its log above debug. */
export async function assertAlive(proxy: RunningProxy): Promise<void> {
  assert.equal((await sendRaw(proxy.port, get("/polaris-container/health"))).status, 200);
}
