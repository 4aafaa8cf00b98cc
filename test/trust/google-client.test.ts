import assert from "node:assert/strict";
import { constants, createPublicKey, publicEncrypt } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { KeyManagementServiceClient } from "@google-cloud/kms";
import { crc32c } from "@polaris-cvm/stacks/local/trust/crc32c.ts";
import { IdentityPoolClient, OAuth2Client } from "google-auth-library";
import {
  audienceOf,
  credentials,
  cryptoKey,
  issueToken,
  serviceAccount,
  startTestTrust,
  temporaryFolder,
  type TestTrust,
} from "./fixture.ts";

const VERSION_NAME = `${cryptoKey}/cryptoKeyVersions/1`;

/** Google's own client, authenticated by Google's own library: token file → token exchange → key service. */
async function createGoogleClient(
  t: TestContext,
  trust: TestTrust,
  options: { readonly token: string; readonly impersonate?: boolean },
): Promise<KeyManagementServiceClient> {
  const tokenFile = join(await temporaryFolder(t), "token");
  await writeFile(tokenFile, options.token);
  const authClient = new IdentityPoolClient({
    type: "external_account",
    audience: audienceOf("attested"),
    subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
    token_url: `${trust.url}/v1/token`,
    ...(options.impersonate === true
      ? {
          service_account_impersonation_url: `${trust.url}/v1/projects/-/serviceAccounts/${serviceAccount}:generateAccessToken`,
        }
      : {}),
    credential_source: { file: tokenFile, format: { type: "text" } },
  });
  authClient.scopes = ["https://www.googleapis.com/auth/cloud-platform"];
  const client = new KeyManagementServiceClient({
    authClient,
    projectId: "sim-project",
    fallback: true,
    protocol: "http",
    apiEndpoint: "127.0.0.1",
    port: trust.services.port,
  });
  t.after(() => client.close());
  return client;
}

/** Google's library looks at the computer's clock. */
async function startAtTheRealTime(t: TestContext): Promise<TestTrust> {
  return startTestTrust(t, { clock: { nowMs: Date.now() } });
}

test("Google's client reads the public key, decrypts, and lists versions", async (t) => {
  const trust = await startAtTheRealTime(t);
  const client = await createGoogleClient(t, trust, {
    token: await issueToken(trust, audienceOf("attested")),
  });

  const [publicKey] = await client.getPublicKey({ name: VERSION_NAME });
  const pem = String(publicKey.pem);
  assert.equal(publicKey.name, VERSION_NAME);
  assert.equal(publicKey.algorithm, "RSA_DECRYPT_OAEP_4096_SHA256");
  assert.equal(publicKey.protectionLevel, "SOFTWARE");
  assert.equal(String(publicKey.pemCrc32c?.value), String(crc32c(Buffer.from(pem))));

  const key = createPublicKey(pem);
  const plaintext = Buffer.from("a content key of 32 bytes, maybe");
  const ciphertext = publicEncrypt(
    { key, oaepHash: "sha256", padding: constants.RSA_PKCS1_OAEP_PADDING },
    plaintext,
  );
  const [decrypted] = await client.asymmetricDecrypt({
    name: VERSION_NAME,
    ciphertext,
    ciphertextCrc32c: { value: crc32c(ciphertext) },
  });
  assert.deepEqual(Buffer.from(decrypted.plaintext as Uint8Array), plaintext);
  assert.equal(String(decrypted.plaintextCrc32c?.value), String(crc32c(plaintext)));
  assert.equal(decrypted.verifiedCiphertextCrc32c, true);
  assert.equal(decrypted.protectionLevel, "SOFTWARE");

  const [versions] = await client.listCryptoKeyVersions({ parent: cryptoKey });
  assert.deepEqual(
    versions.map(({ name, state, algorithm }) => ({ name, state, algorithm })),
    [{ name: VERSION_NAME, state: "ENABLED", algorithm: "RSA_DECRYPT_OAEP_4096_SHA256" }],
  );
  const createTime = Number(versions[0]?.createTime?.seconds);
  assert.equal(createTime, Math.floor(trust.clock.nowMs / 1000));
});

test("Google's client decrypts as a service account", async (t) => {
  const trust = await startAtTheRealTime(t);
  const token = await issueToken(trust, audienceOf("attested"));
  const direct = await createGoogleClient(t, trust, { token });
  const [{ pem }] = await direct.getPublicKey({ name: VERSION_NAME });
  const client = await createGoogleClient(t, trust, { token, impersonate: true });
  const ciphertext = publicEncrypt(
    { key: createPublicKey(String(pem)), oaepHash: "sha256", padding: constants.RSA_PKCS1_OAEP_PADDING },
    Buffer.from("x"),
  );
  const [decrypted] = await client.asymmetricDecrypt({ name: VERSION_NAME, ciphertext });
  assert.equal(Buffer.from(decrypted.plaintext as Uint8Array).toString(), "x");
});

test("Google's client understands the refusals", async (t) => {
  const trust = await startAtTheRealTime(t);
  const client = await createGoogleClient(t, trust, {
    token: await issueToken(trust, audienceOf("attested")),
  });
  const ciphertext = Buffer.alloc(512, 7);
  await assert.rejects(
    client.asymmetricDecrypt({ name: VERSION_NAME, ciphertext, ciphertextCrc32c: { value: 1 } }),
    {
      code: 3,
      message: "The checksum in field ciphertext_crc32c did not match the data in field ciphertext.",
    },
  );
  await assert.rejects(client.destroyCryptoKeyVersion({ name: VERSION_NAME }), {
    code: 7,
    reason: "IAM_PERMISSION_DENIED",
    errorInfoMetadata: { permission: "cloudkms.cryptoKeyVersions.destroy", resource: VERSION_NAME },
  });
  await assert.rejects(client.asymmetricDecrypt({ name: `${cryptoKey}/cryptoKeyVersions/9`, ciphertext }), {
    code: 5,
  });
  const disabled = await trust.call("PATCH", `/v1/${VERSION_NAME}?updateMask=state`, {
    bearer: credentials.administrator,
    json: { state: "DISABLED" },
  });
  assert.equal(disabled.status, 200);
  await assert.rejects(client.asymmetricDecrypt({ name: VERSION_NAME, ciphertext }), { code: 9 });
});

test("Google's library gets no access token for another machine's attestation", async (t) => {
  const trust = await startAtTheRealTime(t);
  const token = await issueToken(trust, audienceOf("attested"), credentials.otherMachine);
  const client = await createGoogleClient(t, trust, { token });
  await assert.rejects(client.getPublicKey({ name: VERSION_NAME }), /unauthorized_client/);
});

test("Google's client, with an administrator's credential, disables, enables, destroys and restores", async (t) => {
  const trust = await startAtTheRealTime(t);
  const authClient = new OAuth2Client();
  authClient.setCredentials({ access_token: credentials.administrator, expiry_date: Date.now() + 3600_000 });
  const client = new KeyManagementServiceClient({
    authClient,
    projectId: "sim-project",
    fallback: true,
    protocol: "http",
    apiEndpoint: "127.0.0.1",
    port: trust.services.port,
  });
  t.after(() => client.close());
  const update = async (state: "ENABLED" | "DISABLED"): Promise<unknown> => {
    const [version] = await client.updateCryptoKeyVersion({
      cryptoKeyVersion: { name: VERSION_NAME, state },
      updateMask: { paths: ["state"] },
    });
    return version.state;
  };
  assert.equal(await update("DISABLED"), "DISABLED");
  assert.equal(await update("ENABLED"), "ENABLED");
  const [destroyed] = await client.destroyCryptoKeyVersion({ name: VERSION_NAME });
  assert.equal(destroyed.state, "DESTROY_SCHEDULED");
  const [restored] = await client.restoreCryptoKeyVersion({ name: VERSION_NAME });
  assert.equal(restored.state, "DISABLED");
  const [made] = await client.createCryptoKeyVersion({ parent: cryptoKey, cryptoKeyVersion: {} });
  assert.equal(made.name, `${cryptoKey}/cryptoKeyVersions/2`);
  const [key] = await client.getCryptoKey({ name: cryptoKey });
  assert.equal(key.purpose, "ASYMMETRIC_DECRYPT");
});
