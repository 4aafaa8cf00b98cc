import assert from "node:assert/strict";
import { test } from "node:test";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { GOLDEN_VECTORS, createContainerKeyProvider } from "../testing/golden-vectors.ts";
import { sendRaw, startProxy, startWorkload } from "../testing/running-proxy.ts";
import { envelopeOpenFailed } from "./keys/key-provider.ts";

/** The original's request with three sealed parts: six values to unwrap. */
const REQUEST = Buffer.from(
  GOLDEN_VECTORS.exchanges.find(({ name }) => name === "post-json")?.requestRawBase64 ?? "",
  "base64",
);

/** Fails the first value with an error, and has the others wait until nobody needs them any more. */
async function unwrapWith(first: Error): Promise<{ code: unknown; given: number; waiting: number }> {
  const signals: AbortSignal[] = [];
  const { promise: allAsked, resolve: tellAllAsked } = Promise.withResolvers<void>();
  const keys = {
    ...(await createContainerKeyProvider()),
    async unwrap(_wrapped: Uint8Array, _keyId: string | undefined, signal: AbortSignal) {
      const isFirst = signals.push(signal) === 1;
      if (signals.length === 6) tellAllAsked();
      await allAsked;
      if (isFirst) throw first;
      // One turn, so that the first one's failure is known.
      await new Promise(setImmediate);
      if (signal.aborted) throw new PolarisError("OVERLOADED", "nobody needs it any more");
      throw envelopeOpenFailed();
    },
  };
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url, { keys });
  const { body } = await sendRaw(proxy.port, REQUEST);
  const { code } = JSON.parse(body) as { code: unknown };
  return { code, given: signals.length, waiting: signals.filter(({ aborted }) => !aborted).length };
}

test("a request that cannot get its key lets go of the values that still wait for their turn", async () => {
  const failure = new PolarisError("KEY_UNAVAILABLE", "away");
  assert.deepEqual(await unwrapWith(failure), { code: "KEY_UNAVAILABLE", given: 6, waiting: 0 });
});

test("a wrong value lets the others go on as if it had been right", async () => {
  const outcome = await unwrapWith(envelopeOpenFailed());
  assert.deepEqual(outcome, { code: "ENVELOPE_OPEN_FAILED", given: 6, waiting: 6 });
});
