import assert from "node:assert/strict";
import { test } from "node:test";
import { get } from "../testing/proxy-answers.ts";
import { valuesOf } from "../testing/raw-answers.ts";
import { sendRaw, startProxy, startWorkload } from "../testing/running-proxy.ts";
import type { RunningProxy, RunningWorkload } from "../testing/running-proxy.ts";
import { secureField } from "../testing/sealing.ts";

const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const OUTER = `00-${TRACE_ID}-b7ad6b7169203331-01`;
const INNER = "00-11111111111111111111111111111111-2222222222222222-00";

/** What the workload gets of a request's trace context, and what the log says. */
async function traceOf(proxy: RunningProxy, workload: RunningWorkload, ...fields: string[]) {
  await sendRaw(proxy.port, get("/", ...fields));
  const seen = workload.seen.at(-1) ?? { fields: [] };
  return {
    parent: valuesOf(seen, "traceparent"),
    state: valuesOf(seen, "tracestate"),
    logged: proxy.log().at(-1)?.["traceId"],
  };
}

test("in the clear, the trace context goes through, and its id is in the log", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  assert.deepEqual(await traceOf(proxy, workload, `Traceparent: ${OUTER}`, "tracestate: a=1, b=2"), {
    parent: [OUTER],
    state: ["a=1, b=2"],
    logged: TRACE_ID,
  });
  assert.deepEqual(await traceOf(proxy, workload), { parent: [], state: [], logged: undefined });
});

test("a sealed request takes the trace context beside it along, and nothing else", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const outer = [`traceparent: ${OUTER}`, "tracestate: a=1", "tracestate: b=2", "x-planted: 1"];
  assert.deepEqual(await traceOf(proxy, workload, await secureField(), ...outer), {
    parent: [OUTER],
    state: ["a=1, b=2"],
    logged: TRACE_ID,
  });
  assert.deepEqual(valuesOf(workload.seen[0] ?? { fields: [] }, "x-planted"), []);
});

test("what the client has sealed itself goes before what is beside it", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const secure = await secureField({ Traceparent: INNER });
  assert.deepEqual(await traceOf(proxy, workload, secure, `traceparent: ${OUTER}`, "tracestate: a=1"), {
    parent: [INNER],
    state: [],
    // The id in the clear: what was sealed stays out of the log.
    logged: TRACE_ID,
  });
});

const MALFORMED = [
  "planted",
  OUTER.toUpperCase(),
  `ff${OUTER.slice(2)}`,
  `00-${"0".repeat(32)}-b7ad6b7169203331-01`,
  `00-${TRACE_ID}-${"0".repeat(16)}-01`,
  `${OUTER}-planted`,
  OUTER.slice(0, -1),
];

test("what does not have the standard's form is neither sealed in nor logged", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const secure = await secureField();
  for (const text of MALFORMED) {
    assert.deepEqual(
      await traceOf(proxy, workload, secure, `traceparent: ${text}`, "tracestate: a=1"),
      { parent: [], state: [], logged: undefined },
      text,
    );
  }
  const twice = [`traceparent: ${OUTER}`, `traceparent: ${OUTER}`];
  assert.equal((await traceOf(proxy, workload, secure, ...twice)).logged, undefined);
  const long = await traceOf(
    proxy,
    workload,
    secure,
    `traceparent: ${OUTER}`,
    `tracestate: a=${"x".repeat(511)}`,
  );
  assert.deepEqual(long, { parent: [OUTER], state: [], logged: TRACE_ID });
  const odd = await traceOf(proxy, workload, secure, `traceparent: ${OUTER}`, "tracestate: a=\u00e4");
  assert.deepEqual(odd, { parent: [OUTER], state: [], logged: TRACE_ID });
  assert.ok(!proxy.logText().includes("planted"));
});

test("a request that fails has its trace in the log, too", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  await sendRaw(proxy.port, get("//", `traceparent: ${OUTER}`));
  await sendRaw(proxy.port, get("/", "polaris-secure: AAAA", `traceparent: ${OUTER}`));
  assert.deepEqual(
    proxy.log().map(({ status, traceId }) => [status, traceId]),
    [
      [400, TRACE_ID],
      [400, TRACE_ID],
    ],
  );
});
