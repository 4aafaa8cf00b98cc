import assert from "node:assert/strict";
import { test } from "node:test";
import { cleanMessage } from "./clean-message.ts";

test("the cloud's words are left, and what is wrapped around them is taken off", () => {
  for (const [message, cleaned] of [
    [
      "sdk-v2/provider2.go:572: sdk.helper_schema: Error creating KeyRing: googleapi: Error 409: KeyRing exists: provider=google-beta@9.35.0\n",
      "Error creating KeyRing: googleapi: Error 409: KeyRing exists",
    ],
    [
      "1 error occurred:\n\t* Error creating Instance: no capacity\n\n",
      "Error creating Instance: no capacity",
    ],
    ["error: 1 error occurred:\n\t* boom: provider=google@1.0.0\n\n", "boom"],
    ["<{%fg 1%}>error: <{%reset%}>denied", "denied"],
    // Two errors are two: nothing of them may be lost.
    ["2 errors occurred:\n\t* one\n\t* two\n\n", "2 errors occurred:\n\t* one\n\t* two"],
    ["  plain  ", "plain"],
    ["", ""],
  ] as const) {
    assert.equal(cleanMessage(message), cleaned);
  }
});
