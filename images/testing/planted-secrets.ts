import assert from "node:assert/strict";
import { inspect } from "node:util";
import { isPolarisError } from "@polaris-cvm/sdk/errors";
import type { PolarisError } from "@polaris-cvm/sdk/errors";

/** Passwords and tokens of tests have this in them, and nothing else has. */
export const PLANTED = "pl4nt3d";

/**
 * Awaits a failure and makes sure that neither its texts, nor its causes, nor anything that hangs on them has a secret, as
 * it is or in Base64.
 */
export async function rejection(promise: Promise<unknown>): Promise<PolarisError> {
  const error = await promise.then(
    () => assert.fail("expected a failure"),
    (reason: unknown) => reason,
  );
  assert.ok(isPolarisError(error), inspect(error));
  assertNoSecret(error);
  return error;
}

export function assertNoSecret(error: unknown): void {
  const text = inspect(error, {
    depth: 20,
    showHidden: true,
    maxArrayLength: 100_000,
    maxStringLength: null,
  });
  const decoded = (text.match(/[\w+/-]{12,}/g) ?? []).map((run) =>
    // Base64 of a part starts at any of four places.
    [0, 1, 2, 3].map((skip) => Buffer.from(run.slice(skip), "base64").toString("latin1")).join(" "),
  );
  assert.ok(!text.toLowerCase().includes(PLANTED), text);
  assert.ok(!decoded.join(" ").toLowerCase().includes(PLANTED), text);
}
