import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzzProxy } from "./fuzz-proxy.ts";

/** A box, not a measure: `npm run fuzz` goes on for longer and with other seeds. */
const DURATION_MS = 15_000;

test("requests that are almost right find no crash and no answer but the listed ones", async () => {
  const { inputs, findings } = await fuzzProxy(DURATION_MS, 20_261_121);
  assert.deepEqual(findings, []);
  assert.ok(inputs > 100, `only ${inputs} inputs`);
});
