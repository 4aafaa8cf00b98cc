import assert from "node:assert/strict";
import { test } from "node:test";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { EngineExit } from "./engine-command.ts";
import { engineFailure } from "./engine-failure.ts";
import type { FailedRun } from "./engine-failure.ts";
import { createMask } from "./mask-secrets.ts";
import type { ProgressStep } from "./progress.ts";

const URN = "urn:pulumi:s::p::gcp:kms/cryptoKey:CryptoKey::key";
const NEVER = new AbortController().signal;

function failureOf(stderr: string, changes: Partial<FailedRun> = {}): PolarisError {
  return engineFailure({
    operation: "up",
    stack: "hello-prod-key",
    error: new EngineExit("up", { stdout: "", stderr, exitCode: 1 }),
    programError: undefined,
    progress: { steps: [], messages: [] },
    stop: { gently: NEVER, now: NEVER },
    logPath: undefined,
    mask: createMask(["hunter22"]),
    findHint: () => undefined,
    ...changes,
  });
}

const step = (changes: Partial<ProgressStep>): ProgressStep => ({
  urn: URN,
  action: "create",
  type: "gcp:kms/cryptoKey:CryptoKey",
  name: "key",
  phase: "failed",
  startedAtMs: 0,
  ...changes,
});

test("what the engine says of itself has a code, a text and a hint of ours", () => {
  for (const [stderr, code, message] of [
    [
      "error: no changes were expected for preview but changes were proposed\n",
      "UNEXPECTED_CHANGES",
      /no changes/,
    ],
    [
      `error: resource ${URN} violates plan: properties changed: +~name[{a}!={b}]\n`,
      "UNEXPECTED_CHANGES",
      /^the saved plan does not fit any more: key: properties changed/,
    ],
    [
      "error: resource violates plan: ~=internalAddress\n",
      "UNEXPECTED_CHANGES",
      /^the saved plan does not fit any more: ~=internalAddress$/,
    ],
    [
      `error: unable to replace resource "${URN}"\nas it is currently marked for protection. To unprotect the resource, …`,
      "KEY_CHANGE_REFUSED",
      /^replacing gcp:kms\/cryptoKey:CryptoKey "key" is refused: it is kept$/,
    ],
    [
      `error: resource "${URN}" cannot be deleted\nbecause it is protected. To unprotect the resource, …`,
      "KEY_CHANGE_REFUSED",
      /^deleting gcp:kms\/cryptoKey:CryptoKey "key" is refused: it is kept$/,
    ],
    [
      "error: could not load plugin for gcp provider: Could not automatically download and install resource plugin: no resource plugin 'pulumi-resource-gcp' found in the workspace at version v9.35.0 or on your $PATH",
      "PLUGIN_UNAVAILABLE",
      /^the provider plugin gcp 9\.35\.0 is not installed$/,
    ],
    ["error: incorrect passphrase\n", "STATE_CORRUPT", /passphrase does not fit/],
    [
      "error: unable to open bucket gs://x: google: could not find default credentials. See …",
      "CLOUD_CREDENTIALS_MISSING",
      /no credentials for the state/,
    ],
    [
      "error: PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions",
      "CLOUD_CREDENTIALS_MISSING",
      /./,
    ],
    [
      "error: the stack is currently locked by 1 lock(s). Either wait …\n  file:///s/x.json: created by ada@desk (pid 7) at 2026-01-02T03:04:05Z",
      "STACK_LOCKED",
      /^stack hello-prod-key is locked by ada \(process 7 on desk\) since 2026-01-02T03:04:05Z$/,
    ],
    ["error: [409] Conflict: Another update is currently in progress.", "STACK_LOCKED", /by somebody else/],
    ["error: something else\n", "ENGINE_FAILED", /^something else$/],
    ["", "ENGINE_FAILED", /^pulumi up failed and does not say why$/],
  ] as const) {
    const error = failureOf(stderr);
    assert.equal(error.code, code, stderr);
    assert.match(error.message, message);
    if (code !== "ENGINE_FAILED") assert.notEqual(error.hint, undefined);
  }
});

test("what the cloud refused is told by its first failure, and all of them are in the details", () => {
  const progress = {
    steps: [step({ reason: "quota hunter22" }), step({ urn: `${URN}2`, name: "key2", action: "delete-old" })],
    messages: [],
  };
  const error = failureOf("", {
    progress,
    findHint: (message) => `hint for ${message.slice(0, 5)}`,
    logPath: "/w/log",
  });
  assert.equal(error.code, "CLOUD_RESOURCE_FAILED");
  assert.equal(error.message, 'cannot create gcp:kms/cryptoKey:CryptoKey "key" (and 1 more): quota [secret]');
  assert.equal(error.hint, "hint for quota; all that was said is in /w/log");
  assert.deepEqual(error.details, {
    operation: "up",
    log: "/w/log",
    failures: [
      { urn: URN, action: "create", message: "quota [secret]" },
      { urn: `${URN}2`, action: "delete-old", message: "the provider does not say why" },
    ],
  });
});

test("a resource that was refused before anything was done with it is told too", () => {
  const messages = [{ severity: "error", urn: URN, message: "gcp: property purpose is missing" } as const];
  const error = failureOf("", { progress: { steps: [], messages } });
  assert.equal(error.code, "CLOUD_RESOURCE_FAILED");
  assert.match(error.message, /^cannot check gcp:kms\/cryptoKey:CryptoKey "key": gcp: property/);
});

test("an error of Polaris that the program threw is the error", () => {
  const thrown = new PolarisError("CONFIG_INVALID", "no");
  assert.equal(failureOf("error: anything", { programError: thrown }), thrown);
  assert.equal(failureOf("", { error: thrown }), thrown);
});

test("a run that was stopped is cancelled, whatever it says, and tells how to go on", () => {
  const gently = AbortSignal.abort();
  const progress = { steps: [step({ phase: "running" })], messages: [] };
  const gentle = failureOf("error: update canceled", { stop: { gently, now: NEVER }, progress });
  assert.equal(gentle.code, "CANCELLED");
  assert.equal(gentle.hint, "run the same command again to go on");
  const hard = failureOf("", { stop: { gently, now: gently }, progress });
  assert.equal(hard.code, "CANCELLED");
  assert.match(
    hard.message,
    /stopped at once; not known how it ended: create gcp:kms\/cryptoKey:CryptoKey "key"$/,
  );
  assert.match(hard.hint ?? "", /polaris unlock/);
});

test("nothing that the engine printed is kept in the error", () => {
  const error = failureOf("error: password hunter22 refused\n");
  assert.equal(error.message, "password [secret] refused");
  assert.equal(error.cause, undefined);
});
