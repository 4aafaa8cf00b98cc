/** The proxy's key provider before the real trust services, while the versions of its key come and go. */
import assert from "node:assert/strict";
import { constants, createPrivateKey, publicEncrypt } from "node:crypto";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { isPolarisError } from "@polaris-cvm/sdk/errors";
import { createGoogleFederatedKeyProvider } from "../../proxy/src/keys/google-federated.ts";
import type { KeyProvider } from "../../proxy/src/keys/key-provider.ts";
import {
  audienceOf,
  credentials,
  cryptoKey,
  issueToken,
  sharedRsaKey,
  startTestTrust,
  temporaryFolder,
  type TestTrust,
} from "./fixture.ts";

const NEVER = new AbortController().signal;
const administrator = { bearer: credentials.administrator };
const vectors = JSON.parse(
  readFileSync(new URL("../vectors/polaris-v1.json", import.meta.url), "utf8"),
) as Record<"containerPrivateKeyPem" | "clientPrivateKeyPem", string>;

/** Keys of the versions 1 and 2: RSA-4096 keys take long to make. */
const VERSION_KEYS = [vectors.containerPrivateKeyPem, vectors.clientPrivateKeyPem];

/** Trust services whose key has the versions 1 and 2, both enabled. */
async function startWithTwoVersions(t: TestContext): Promise<TestTrust> {
  const keys = VERSION_KEYS.map((pem) => createPrivateKey(pem));
  let made = 0;
  const trust = await startTestTrust(t, {
    // First the versions 1 of the fixture's two keys, in their order, then version 2 of the first one.
    generateKey: async () => [keys[0], await sharedRsaKey(), keys[1]][made++]!,
  });
  await trust.call("POST", `/v1/${cryptoKey}/cryptoKeyVersions`, { ...administrator, json: {} });
  let state: unknown;
  while (state !== "ENABLED") state = (await trust.call("GET", versionPath(2), administrator)).body.state;
  return trust;
}

const versionPath = (version: number): string => `/v1/${cryptoKey}/cryptoKeyVersions/${version}`;

async function setState(trust: TestTrust, version: number, state: "ENABLED" | "DISABLED"): Promise<void> {
  const path = `${versionPath(version)}?updateMask=state`;
  assert.equal((await trust.call("PATCH", path, { ...administrator, json: { state } })).status, 200);
}

async function act(trust: TestTrust, version: number, action: "destroy" | "restore"): Promise<void> {
  const path = `${versionPath(version)}:${action}`;
  assert.equal((await trust.call("POST", path, { ...administrator, json: {} })).status, 200);
}

interface TestProvider {
  readonly keys: KeyProvider;
  readonly failures: unknown[];
  /** Resolves at the next long wait, with its length; that wait goes on until it is ended. */
  readonly longWait: () => Promise<number>;
  readonly endLongWait: () => Promise<void>;
}

const SHORT_WAIT_MS = 30_000;

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function startProvider(
  t: TestContext,
  trust: TestTrust,
  keyVersion: number,
  olderKeyVersions: readonly number[],
): Promise<TestProvider> {
  const tokenFile = join(await temporaryFolder(t), "token");
  await writeFile(tokenFile, await issueToken(trust, audienceOf("attested")));
  const failures: unknown[] = [];
  let begun = Promise.withResolvers<number>();
  let ended = Promise.withResolvers<void>();
  const [, project = "", , location = "", , keyRing = "", , key = ""] = cryptoKey.split("/");
  const keys = createGoogleFederatedKeyProvider(
    {
      kind: "google-federated",
      project,
      location,
      keyRing,
      key,
      keyVersion,
      olderKeyVersions,
      audience: audienceOf("attested"),
      tokenFile,
      stsUrl: trust.url,
      kmsUrl: trust.url,
      iamCredentialsUrl: trust.url,
    },
    {
      onFailure: (error) => failures.push(error),
      maxQueuedUnwraps: 256,
      nowMs: () => trust.clock.nowMs,
      async wait(delayMs, signal) {
        if (delayMs <= SHORT_WAIT_MS) return await nextTurn();
        begun.resolve(delayMs);
        await Promise.race([
          ended.promise,
          new Promise((resolve) => signal.addEventListener("abort", resolve)),
        ]);
      },
    },
  );
  t.after(() => keys.close());
  return {
    keys,
    failures,
    longWait: () => begun.promise,
    async endLongWait() {
      ended.resolve();
      begun = Promise.withResolvers();
      ended = Promise.withResolvers();
      await nextTurn();
    },
  };
}

interface Sealed {
  readonly keyId: string;
  readonly wrapped: Buffer;
}

/** A content key wrapped by a client that asked a proxy for its public key. */
async function seal(keys: KeyProvider, text: string): Promise<Sealed> {
  const { keyId, pem } = await keys.publicKey(NEVER);
  const key = { key: pem, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" };
  return { keyId, wrapped: publicEncrypt(key, Buffer.from(text)) };
}

async function open(keys: KeyProvider, { wrapped }: Sealed, keyId: string | undefined): Promise<string> {
  return Buffer.from(await keys.unwrap(wrapped, keyId, NEVER)).toString();
}

function decryptCount(trust: TestTrust): number {
  return trust.logs.filter((line) => line.includes("kms.AsymmetricDecrypt")).length;
}

/** A proxy that used version 1, and the one that came after the rotation. */
async function rotate(t: TestContext) {
  const trust = await startWithTwoVersions(t);
  const before = await startProvider(t, trust, 1, []);
  const old = await seal(before.keys, "sealed before");
  const provider = await startProvider(t, trust, 2, [1]);
  const fresh = await seal(provider.keys, "sealed after");
  assert.notEqual(old.keyId, fresh.keyId);
  return { trust, before, provider, old, fresh };
}

test("after a rotation messages sealed to either version open, named or not", async (t) => {
  const { trust, provider, old, fresh } = await rotate(t);
  const { keys, failures } = provider;
  const rows: [sealed: Sealed, keyId: string | undefined, text: string, decrypts: number][] = [
    [old, old.keyId, "sealed before", 1],
    [fresh, fresh.keyId, "sealed after", 1],
    [fresh, undefined, "sealed after", 1],
    [old, undefined, "sealed before", 2],
  ];
  for (const [sealed, keyId, text, decrypts] of rows) {
    const before = decryptCount(trust);
    assert.equal(await open(keys, sealed, keyId), text);
    assert.equal(decryptCount(trust) - before, decrypts);
  }
  assert.equal((await keys.publicKey(NEVER)).keyId, fresh.keyId);
  assert.deepEqual(failures, []);
});

test("a message that is named after the wrong version of the two does not open", async (t) => {
  const { provider, old, fresh } = await rotate(t);
  await assert.rejects(open(provider.keys, old, fresh.keyId), { code: "ENVELOPE_OPEN_FAILED" });
  await assert.rejects(open(provider.keys, fresh, old.keyId), { code: "ENVELOPE_OPEN_FAILED" });
});

test("a key that is none of ours is refused before the key service is asked to decrypt", async (t) => {
  const { trust, before, old, fresh, provider } = await rotate(t);
  await assert.rejects(open(provider.keys, old, `sha256:${"0".repeat(64)}`), { code: "KEY_UNKNOWN" });
  await assert.rejects(open(before.keys, fresh, fresh.keyId), { code: "KEY_UNKNOWN" });
  await assert.rejects(provider.keys.unwrap(Buffer.alloc(511), undefined, NEVER), {
    code: "ENVELOPE_OPEN_FAILED",
  });
  assert.equal(decryptCount(trust), 0);
  await assert.rejects(provider.keys.unwrap(Buffer.alloc(512, 1), undefined, NEVER), {
    code: "ENVELOPE_OPEN_FAILED",
    message: "cannot open envelope",
  });
  assert.equal(decryptCount(trust), 2);
});

test("an older version that is disabled is as good as none, is told of once, and opens again once enabled", async (t) => {
  const { trust, provider, old, fresh } = await rotate(t);
  const { keys, failures, longWait, endLongWait } = provider;
  assert.equal(await open(keys, old, old.keyId), "sealed before");

  await setState(trust, 1, "DISABLED");
  await assert.rejects(open(keys, old, old.keyId), {
    code: "KEY_UNKNOWN",
    message: "the message is sealed to a key that this proxy does not have: ask for its public key again",
  });
  assert.equal(await longWait(), 300_000);
  const decrypts = decryptCount(trust);
  await assert.rejects(open(keys, old, old.keyId), { code: "KEY_UNKNOWN" });
  assert.equal(decryptCount(trust), decrypts);
  await assert.rejects(open(keys, old, undefined), { code: "ENVELOPE_OPEN_FAILED" });
  assert.equal(await open(keys, fresh, undefined), "sealed after");
  await endLongWait();
  await longWait();
  await assert.rejects(open(keys, old, old.keyId), { code: "KEY_UNKNOWN" });
  assert.deepEqual(failures.map(describe), ["KEY_UNAVAILABLE version 1 of the key is not enabled"]);

  await setState(trust, 1, "ENABLED");
  await endLongWait();
  assert.equal(await open(keys, old, undefined), "sealed before");
  assert.equal(await open(keys, old, old.keyId), "sealed before");

  await setState(trust, 1, "DISABLED");
  await assert.rejects(open(keys, old, old.keyId), { code: "KEY_UNKNOWN" });
  await longWait();
  assert.equal(failures.length, 2);
});

test("a version that was destroyed before the start holds up nobody, and opens after its restoration", async (t) => {
  const { trust, old, fresh } = await rotate(t);
  await act(trust, 1, "destroy");
  const { keys, failures, longWait, endLongWait } = await startProvider(t, trust, 2, [1, 7]);
  assert.equal(await open(keys, fresh, fresh.keyId), "sealed after");
  await assert.rejects(open(keys, old, old.keyId), { code: "KEY_UNKNOWN" });
  await assert.rejects(open(keys, old, undefined), { code: "ENVELOPE_OPEN_FAILED" });
  await longWait();
  assert.deepEqual(failures.map(describe).sort(), [
    "KEY_UNAVAILABLE version 1 of the key is not enabled",
    "KEY_UNAVAILABLE version 7 of the key is not there",
  ]);

  await act(trust, 1, "restore");
  await setState(trust, 1, "ENABLED");
  await endLongWait();
  assert.equal(await open(keys, old, old.keyId), "sealed before");
});

test("the version that clients are told to seal to is missed when it is disabled, and older ones go on", async (t) => {
  const { trust, provider, old, fresh } = await rotate(t);
  assert.equal(await open(provider.keys, old, old.keyId), "sealed before");
  await setState(trust, 2, "DISABLED");
  for (const keyId of [fresh.keyId, undefined]) {
    await assert.rejects(open(provider.keys, fresh, keyId), {
      code: "KEY_UNAVAILABLE",
      message: "version 2 of the key is not enabled",
    });
  }
  assert.equal(await open(provider.keys, old, old.keyId), "sealed before");
  await setState(trust, 2, "ENABLED");
  assert.equal(await open(provider.keys, fresh, fresh.keyId), "sealed after");
});

function describe(failure: unknown): string {
  return isPolarisError(failure) ? `${failure.code} ${failure.message}` : String(failure);
}
