import assert from "node:assert/strict";
import { constants, createPublicKey, publicEncrypt, type KeyObject } from "node:crypto";
import { test } from "node:test";
import { crc32c } from "@polaris-cvm/stacks/local/trust/crc32c.ts";
import {
  accessToken,
  type Answer,
  type CallOptions,
  credentials,
  cryptoKey,
  otherCryptoKey,
  sharedRsaKey,
  startTestTrust,
  type TestTrust,
} from "./fixture.ts";

const VERSION = `/v1/${cryptoKey}/cryptoKeyVersions/1`;
const VERSION_NAME = `${cryptoKey}/cryptoKeyVersions/1`;
const administrator = { bearer: credentials.administrator };

async function encrypt(plaintext: string): Promise<Buffer> {
  const key = createPublicKey(await sharedRsaKey());
  return publicEncrypt(
    { key, oaepHash: "sha256", padding: constants.RSA_PKCS1_OAEP_PADDING },
    Buffer.from(plaintext),
  );
}

test("the public key comes with its name, algorithm and checksum", async (t) => {
  const trust = await startTestTrust(t);
  const answer = await trust.call("GET", `${VERSION}/publicKey`, { bearer: await accessToken(trust) });
  assert.equal(answer.status, 200);
  const pem = createPublicKey(await sharedRsaKey()).export({ type: "spki", format: "pem" });
  assert.deepEqual(answer.body, {
    pem,
    algorithm: "RSA_DECRYPT_OAEP_4096_SHA256",
    pemCrc32c: String(crc32c(Buffer.from(pem))),
    name: VERSION_NAME,
    protectionLevel: "SOFTWARE",
  });
});

test("the named principal decrypts, and checksums go both ways", async (t) => {
  const trust = await startTestTrust(t);
  const bearer = await accessToken(trust);
  const ciphertext = await encrypt("123456789");
  const answer = await trust.call("POST", `${VERSION}:asymmetricDecrypt`, {
    bearer,
    json: { ciphertext: ciphertext.toString("base64"), ciphertextCrc32c: String(crc32c(ciphertext)) },
  });
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.body, {
    plaintext: Buffer.from("123456789").toString("base64"),
    plaintextCrc32c: String(0xe3069283),
    verifiedCiphertextCrc32c: true,
    protectionLevel: "SOFTWARE",
  });
  const without = await trust.call("POST", `${VERSION}:asymmetricDecrypt`, {
    bearer,
    json: { ciphertext: ciphertext.toString("base64url") },
  });
  assert.equal(without.status, 200);
  assert.equal("verifiedCiphertextCrc32c" in without.body, false);
});

test("decryptions at once do not mix their answers", async (t) => {
  const trust = await startTestTrust(t);
  const bearer = await accessToken(trust);
  const plaintexts = ["a", "b", "c", "d", "e", "f"];
  const ciphertexts = await Promise.all(plaintexts.map(encrypt));
  const answers = await Promise.all(
    ciphertexts.map((ciphertext) =>
      trust.call("POST", `${VERSION}:asymmetricDecrypt`, {
        bearer,
        json: { ciphertext: ciphertext.toString("base64") },
      }),
    ),
  );
  assert.deepEqual(
    answers.map(({ body }) => Buffer.from(body.plaintext, "base64").toString()),
    plaintexts,
  );
});

test("a ciphertext without its leading zero is another one, not the same number", async (t) => {
  const trust = await startTestTrust(t);
  const bearer = await accessToken(trust);
  let ciphertext = await encrypt("x");
  for (let tried = 0; tried < 10_000 && ciphertext[0] !== 0; tried++) ciphertext = await encrypt("x");
  const decrypt = async (bytes: Buffer): Promise<Answer> =>
    trust.call("POST", `${VERSION}:asymmetricDecrypt`, {
      bearer,
      json: { ciphertext: bytes.toString("base64") },
    });
  assert.equal((await decrypt(ciphertext)).status, 200);
  assertRefused(await decrypt(ciphertext.subarray(1)), 400, "INVALID_ARGUMENT");
});

test("the key service refuses what Cloud KMS refuses", async (t) => {
  const trust = await startTestTrust(t);
  const attested = await accessToken(trust);
  const stranger = await accessToken(trust, "lenient", credentials.otherMachine);
  const ciphertext = (await encrypt("secret")).toString("base64");
  const decrypt = `${VERSION}:asymmetricDecrypt`;
  const valid = { bearer: attested, json: { ciphertext } };
  const flipped = Buffer.from(ciphertext, "base64");
  flipped[100]! ^= 1;
  const expired = await accessToken(trust);
  const payload = JSON.parse(Buffer.from(attested.split(".")[1]!, "base64url").toString());
  const forgedPayload = Buffer.from(JSON.stringify({ ...payload, expiresAtUnixSeconds: 9e9 })).toString(
    "base64url",
  );
  const [prefix, body, mac] = attested.split(".") as [string, string, string];
  const lastBit = mac.slice(0, -1) + String.fromCharCode(mac.charCodeAt(mac.length - 1) ^ 1);

  const rows: [string, string, string, CallOptions, number, string, string?][] = [
    ["no token", "POST", decrypt, { json: { ciphertext } }, 401, "UNAUTHENTICATED", "CREDENTIALS_MISSING"],
    [
      "garbage token",
      "POST",
      decrypt,
      { ...valid, bearer: "x" },
      401,
      "UNAUTHENTICATED",
      "ACCESS_TOKEN_TYPE_UNSUPPORTED",
    ],
    [
      "tampered token",
      "POST",
      decrypt,
      { ...valid, bearer: `${prefix}.${forgedPayload}.${mac}` },
      401,
      "UNAUTHENTICATED",
      "ACCESS_TOKEN_TYPE_UNSUPPORTED",
    ],
    [
      "token whose signature differs in one bit that base64 ignores",
      "POST",
      decrypt,
      { ...valid, bearer: `${prefix}.${body}.${lastBit}` },
      401,
      "UNAUTHENTICATED",
      "ACCESS_TOKEN_TYPE_UNSUPPORTED",
    ],
    [
      "machine credential",
      "POST",
      decrypt,
      { ...valid, bearer: credentials.machine },
      401,
      "UNAUTHENTICATED",
    ],
    ["principal without the role", "POST", decrypt, { ...valid, bearer: stranger }, 403, "PERMISSION_DENIED"],
    ["administrator decrypts", "POST", decrypt, { ...valid, ...administrator }, 403, "PERMISSION_DENIED"],
    [
      "principal disables a version",
      "PATCH",
      `${VERSION}?updateMask=state`,
      { bearer: attested, json: { state: "DISABLED" } },
      403,
      "PERMISSION_DENIED",
    ],
    [
      "principal makes a version",
      "POST",
      `/v1/${cryptoKey}/cryptoKeyVersions`,
      { bearer: attested, json: {} },
      403,
      "PERMISSION_DENIED",
    ],
    [
      "principal destroys a version",
      "POST",
      `${VERSION}:destroy`,
      { bearer: attested, json: {} },
      403,
      "PERMISSION_DENIED",
    ],
    [
      "key without a binding",
      "POST",
      `/v1/${otherCryptoKey}/cryptoKeyVersions/1:asymmetricDecrypt`,
      valid,
      403,
      "PERMISSION_DENIED",
    ],
    [
      "another project",
      "POST",
      decrypt.replace("sim-project", "other-project"),
      valid,
      403,
      "PERMISSION_DENIED",
    ],
    [
      "another location",
      "POST",
      decrypt.replace("locations/local", "locations/global"),
      valid,
      403,
      "PERMISSION_DENIED",
    ],
    [
      "another key ring",
      "POST",
      decrypt.replace("hello-ring", "other-ring"),
      valid,
      403,
      "PERMISSION_DENIED",
    ],
    ["unknown key", "POST", decrypt.replace("hello-key", "no-key"), valid, 403, "PERMISSION_DENIED"],
    [
      "unknown key, asked by an administrator",
      "GET",
      `/v1/${cryptoKey}-not`,
      administrator,
      404,
      "NOT_FOUND",
    ],
    [
      "administrator in another project",
      "GET",
      `/v1/${cryptoKey}`.replace("sim-project", "other"),
      administrator,
      403,
      "PERMISSION_DENIED",
    ],
    ["unknown version", "POST", decrypt.replace("Versions/1", "Versions/2"), valid, 404, "NOT_FOUND"],
    ["version 0", "POST", decrypt.replace("Versions/1", "Versions/0"), valid, 400, "INVALID_ARGUMENT"],
    [
      "version that is no number",
      "POST",
      decrypt.replace("Versions/1", "Versions/latest"),
      valid,
      400,
      "INVALID_ARGUMENT",
    ],
    ["key name with a space", "GET", `/v1/${cryptoKey}%20x`, administrator, 400, "INVALID_ARGUMENT"],
    ["unknown verb", "POST", `${VERSION}:asymmetricSign`, valid, 404, "NOT_FOUND"],
    [
      "verb on the list of versions",
      "POST",
      `/v1/${cryptoKey}/cryptoKeyVersions:destroy`,
      administrator,
      404,
      "NOT_FOUND",
    ],
    ["wrong HTTP method", "GET", decrypt, { bearer: attested }, 404, "NOT_FOUND"],
    [
      "unknown field",
      "POST",
      decrypt,
      { bearer: attested, json: { ciphertext, aad: "" } },
      400,
      "INVALID_ARGUMENT",
    ],
    ["unknown query parameter", "POST", `${decrypt}?force=true`, valid, 400, "INVALID_ARGUMENT"],
    ["unknown output format", "POST", `${decrypt}?$alt=proto`, valid, 400, "INVALID_ARGUMENT"],
    ["no ciphertext", "POST", decrypt, { bearer: attested, json: {} }, 400, "INVALID_ARGUMENT"],
    [
      "ciphertext that is no base64",
      "POST",
      decrypt,
      { bearer: attested, json: { ciphertext: "*" } },
      400,
      "INVALID_ARGUMENT",
    ],
    [
      "ciphertext of 511 bytes",
      "POST",
      decrypt,
      { bearer: attested, json: { ciphertext: Buffer.alloc(511, 1).toString("base64") } },
      400,
      "INVALID_ARGUMENT",
    ],
    [
      "ciphertext of 513 bytes",
      "POST",
      decrypt,
      { bearer: attested, json: { ciphertext: Buffer.alloc(513, 1).toString("base64") } },
      400,
      "INVALID_ARGUMENT",
    ],
    [
      "ciphertext with a flipped bit",
      "POST",
      decrypt,
      { bearer: attested, json: { ciphertext: flipped.toString("base64") } },
      400,
      "INVALID_ARGUMENT",
    ],
    [
      "checksum mismatch",
      "POST",
      decrypt,
      { bearer: attested, json: { ciphertext, ciphertextCrc32c: "1" } },
      400,
      "INVALID_ARGUMENT",
    ],
    [
      "checksum that is no number",
      "POST",
      decrypt,
      { bearer: attested, json: { ciphertext, ciphertextCrc32c: "x" } },
      400,
      "INVALID_ARGUMENT",
    ],
    [
      "checksum over 32 bits",
      "POST",
      decrypt,
      { bearer: attested, json: { ciphertext, ciphertextCrc32c: "4294967296" } },
      400,
      "INVALID_ARGUMENT",
    ],
    [
      "another public key format",
      "GET",
      `${VERSION}/publicKey?publicKeyFormat=DER`,
      { bearer: attested },
      400,
      "INVALID_ARGUMENT",
    ],
    [
      "another update mask",
      "PATCH",
      `${VERSION}?updateMask=name`,
      { ...administrator, json: { state: "DISABLED" } },
      400,
      "INVALID_ARGUMENT",
    ],
    [
      "no update mask",
      "PATCH",
      VERSION,
      { ...administrator, json: { state: "DISABLED" } },
      400,
      "INVALID_ARGUMENT",
    ],
    [
      "update to a state that is not for clients",
      "PATCH",
      `${VERSION}?updateMask=state`,
      { ...administrator, json: { state: "DESTROYED" } },
      400,
      "INVALID_ARGUMENT",
    ],
    [
      "restore of an enabled version",
      "POST",
      `${VERSION}:restore`,
      { ...administrator, json: {} },
      400,
      "FAILED_PRECONDITION",
    ],
  ];
  for (const [name, method, path, options, status, code, reason] of rows) {
    await t.test(name, async () => {
      assertRefused(await trust.call(method, path, options), status, code, reason);
    });
  }
  await t.test("expired token", async () => {
    trust.clock.nowMs += 3600_000;
    const answer = await trust.call("POST", decrypt, { ...valid, bearer: expired });
    assertRefused(answer, 401, "UNAUTHENTICATED", "ACCESS_TOKEN_EXPIRED");
  });
});

test("refusals have Google's texts", async (t) => {
  const trust = await startTestTrust(t);
  const bearer = await accessToken(trust);
  const message = async (json: unknown, options: CallOptions = { bearer }): Promise<string> => {
    const answer = await trust.call("POST", `${VERSION}:asymmetricDecrypt`, { ...options, json });
    return answer.body.error.message;
  };
  const ciphertext = (await encrypt("x")).toString("base64");
  assert.equal(
    await message({ ciphertext, ciphertextCrc32c: "1" }),
    "The checksum in field ciphertext_crc32c did not match the data in field ciphertext.",
  );
  assert.equal(await message({ ciphertext: "AAAA" }), "Decryption failed: the ciphertext is invalid.");
  assert.equal(
    await message({ ciphertext }, administrator),
    `Permission 'cloudkms.cryptoKeyVersions.useToDecrypt' denied on resource '${VERSION_NAME}' (or it may not exist).`,
  );
  await disable(trust);
  assert.equal(await message({ ciphertext }), `${VERSION_NAME} is not enabled, current state is: DISABLED.`);
});

test("a version decrypts and shows its public key only while it is enabled", async (t) => {
  const trust = await startTestTrust(t);
  const bearer = await accessToken(trust);
  const json = { ciphertext: (await encrypt("x")).toString("base64") };
  const assertUnusable = async (state: string): Promise<void> => {
    for (const answer of [
      await trust.call("POST", `${VERSION}:asymmetricDecrypt`, { bearer, json }),
      await trust.call("GET", `${VERSION}/publicKey`, { bearer }),
    ]) {
      assertRefused(answer, 400, "FAILED_PRECONDITION");
      assert.deepEqual(answer.body.error.details[0]!.violations, [
        { type: `KEY_${state}`, subject: VERSION_NAME },
      ]);
    }
  };

  assert.equal((await disable(trust)).body.state, "DISABLED");
  await assertUnusable("DISABLED");

  const enabled = await trust.call("PATCH", `${VERSION}?updateMask=state`, {
    ...administrator,
    json: { state: "ENABLED" },
  });
  assert.equal(enabled.body.state, "ENABLED");
  assert.equal((await trust.call("POST", `${VERSION}:asymmetricDecrypt`, { bearer, json })).status, 200);

  const scheduled = await trust.call("POST", `${VERSION}:destroy`, { ...administrator, json: {} });
  assert.equal(scheduled.body.state, "DESTROY_SCHEDULED");
  const destroyAtMs = trust.clock.nowMs + 30 * 86_400_000;
  assert.equal(scheduled.body.destroyTime, new Date(destroyAtMs).toISOString());
  await assertUnusable("DESTROY_SCHEDULED");
  assertRefused(
    await trust.call("POST", `${VERSION}:destroy`, { ...administrator, json: {} }),
    400,
    "FAILED_PRECONDITION",
  );
  assertRefused(
    await trust.call("PATCH", `${VERSION}?updateMask=state`, {
      ...administrator,
      json: { state: "ENABLED" },
    }),
    400,
    "FAILED_PRECONDITION",
  );

  const restored = await trust.call("POST", `${VERSION}:restore`, { ...administrator, json: {} });
  assert.equal(restored.body.state, "DISABLED");
  assert.equal("destroyTime" in restored.body, false);
  await trust.call("POST", `${VERSION}:destroy`, { ...administrator, json: {} });

  trust.clock.nowMs = destroyAtMs;
  const gone = await trust.call("GET", VERSION, administrator);
  assert.equal(gone.body.state, "DESTROYED");
  assert.equal(gone.body.destroyEventTime, new Date(destroyAtMs).toISOString());
  assertRefused(
    await trust.call("POST", `${VERSION}:restore`, { ...administrator, json: {} }),
    400,
    "FAILED_PRECONDITION",
  );
});

test("a destroyed version refuses also the principal that could use it", async (t) => {
  const trust = await startTestTrust(t);
  await trust.call("POST", `${VERSION}:destroy`, { ...administrator, json: {} });
  trust.clock.nowMs += 30 * 86_400_000;
  const bearer = await accessToken(trust);
  const json = { ciphertext: (await encrypt("x")).toString("base64") };
  const answer = await trust.call("POST", `${VERSION}:asymmetricDecrypt`, { bearer, json });
  assertRefused(answer, 400, "FAILED_PRECONDITION");
  assert.equal(answer.body.error.details[0]!.violations[0]!.type, "KEY_DESTROYED");
});

test("a new version gets the next number, and lists come in pages", async (t) => {
  const trust = await startTestTrust(t);
  const made = await trust.call("POST", `/v1/${cryptoKey}/cryptoKeyVersions`, { ...administrator, json: {} });
  assert.equal(made.status, 200);
  assert.equal(made.body.name, `${cryptoKey}/cryptoKeyVersions/2`);
  assert.equal(made.body.state, "PENDING_GENERATION");
  const second = `/v1/${cryptoKey}/cryptoKeyVersions/2`;
  let state = "";
  for (let asked = 0; asked < 1000 && state !== "ENABLED"; asked++) {
    state = String((await trust.call("GET", second, administrator)).body.state);
  }
  assert.equal(state, "ENABLED");
  const list = await trust.call("GET", `/v1/${cryptoKey}/cryptoKeyVersions`, administrator);
  assert.equal(list.body.totalSize, 2);
  assert.deepEqual(
    list.body.cryptoKeyVersions.map((version) => version.name),
    [VERSION_NAME, `${cryptoKey}/cryptoKeyVersions/2`],
  );
  const page = await trust.call("GET", `/v1/${cryptoKey}/cryptoKeyVersions?pageSize=1`, administrator);
  assert.equal(page.body.cryptoKeyVersions.length, 1);
  const rest = await trust.call(
    "GET",
    `/v1/${cryptoKey}/cryptoKeyVersions?pageSize=1&pageToken=${page.body.nextPageToken}`,
    administrator,
  );
  assert.deepEqual(
    rest.body.cryptoKeyVersions.map((version) => version.name),
    [`${cryptoKey}/cryptoKeyVersions/2`],
  );
  assert.equal("nextPageToken" in rest.body, false);
});

test("a version that is being generated is not enabled yet, and its number is taken", async (t) => {
  const generation = Promise.withResolvers<KeyObject>();
  let calls = 0;
  const trust = await startTestTrust(t, {
    // The two keys of the configuration are made at once, what comes later waits.
    generateKey: () => (++calls > 2 ? generation.promise : sharedRsaKey()),
  });
  const bearer = await accessToken(trust);
  const second = await trust.call("POST", `/v1/${cryptoKey}/cryptoKeyVersions`, {
    ...administrator,
    json: {},
  });
  const third = await trust.call("POST", `/v1/${cryptoKey}/cryptoKeyVersions`, {
    ...administrator,
    json: {},
  });
  assert.deepEqual(
    [second.body.name, third.body.name],
    [`${cryptoKey}/cryptoKeyVersions/2`, `${cryptoKey}/cryptoKeyVersions/3`],
  );
  const answer = await trust.call("GET", `/v1/${second.body.name}/publicKey`, { bearer });
  assertRefused(answer, 400, "FAILED_PRECONDITION");
  assert.equal(answer.body.error.details[0]!.violations[0]!.type, "KEY_PENDING_GENERATION");
  generation.resolve(await sharedRsaKey());
});

test("the crypto key tells its purpose and template, with enums as names or as numbers", async (t) => {
  const trust = await startTestTrust(t);
  const named = await trust.call("GET", `/v1/${cryptoKey}`, administrator);
  const createTime = new Date(trust.clock.nowMs).toISOString();
  assert.deepEqual(named.body, {
    name: cryptoKey,
    purpose: "ASYMMETRIC_DECRYPT",
    createTime,
    versionTemplate: { protectionLevel: "SOFTWARE", algorithm: "RSA_DECRYPT_OAEP_4096_SHA256" },
    destroyScheduledDuration: "2592000s",
  });
  const numbered = await trust.call("GET", `/v1/${cryptoKey}?$alt=json%3Benum-encoding=int`, administrator);
  assert.deepEqual(numbered.body.versionTemplate, { protectionLevel: 1, algorithm: 10 });
  assert.equal(numbered.body.purpose, 6);
  const version = await trust.call("GET", `${VERSION}?$alt=json%3Benum-encoding=int`, administrator);
  assert.equal(version.body.state, 1);
});

test("tokens of a pool that is disabled since are void, and no binding makes an administrator decrypt", async (t) => {
  const first = await startTestTrust(t);
  const bearer = await accessToken(first);
  const { stateDir } = first.config;
  await first.services.close();
  const second = await startTestTrust(t, {
    stateDir,
    clock: first.clock,
    change: (document) => {
      document.workloadIdentity.pools[0]!.disabled = true;
    },
  });
  assertRefused(
    await second.call("GET", VERSION, { bearer }),
    401,
    "UNAUTHENTICATED",
    "ACCESS_TOKEN_TYPE_UNSUPPORTED",
  );
  // The fixture's key even names the administrator as a decrypter.
  const bindings = second.config.kms.keyRings[0]!.cryptoKeys[0]!.bindings[0]!;
  assert.equal(bindings.role, "roles/cloudkms.cryptoKeyDecrypter");
  assert.ok(bindings.members.includes("user:deployer@sim-project.local"));
  const json = { ciphertext: (await encrypt("x")).toString("base64") };
  assertRefused(
    await second.call("POST", `${VERSION}:asymmetricDecrypt`, { ...administrator, json }),
    403,
    "PERMISSION_DENIED",
  );
});

async function disable(trust: TestTrust): Promise<Answer> {
  return trust.call("PATCH", `${VERSION}?updateMask=state`, {
    ...administrator,
    json: { state: "DISABLED" },
  });
}

function assertRefused(answer: Answer, status: number, code: string, reason?: string): void {
  assert.deepEqual(
    [answer.status, answer.body.error?.status, answer.body.error?.code],
    [status, code, status],
  );
  assert.equal(answer.body.plaintext, undefined);
  if (reason !== undefined) assert.equal(answer.body.error.details[0]!.reason, reason);
}
