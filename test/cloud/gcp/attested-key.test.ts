import assert from "node:assert/strict";
import { constants, createPublicKey, publicEncrypt } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { KeyManagementServiceClient } from "@google-cloud/kms";
import { type AuthClient, IdentityPoolClient, OAuth2Client } from "google-auth-library";
import {
  attest,
  AUDIENCE,
  exchangeForm,
  makePool,
  otherVm,
  PRINCIPAL,
  PROVIDER_BODY,
  VM,
} from "./attestation-fixture.ts";
import type { VerifiedMachine } from "./attestation-issuer.ts";
import { DISCOVERY_MISSING, PROJECT, startTestBox, type TestBox } from "./box-fixture.ts";

const LOCATION = `projects/${PROJECT}/locations/europe-west4`;
const KEY = `${LOCATION}/keyRings/polaris/cryptoKeys/proxy`;
const VERSION = `${KEY}/cryptoKeyVersions/1`;

/** A box in which one machine attests itself, and what it is can change. */
async function startWithVm(t: TestContext): Promise<{ box: TestBox; vm: { current: VerifiedMachine } }> {
  const vm = { current: VM };
  const box = await startTestBox(t, { iam: { verifyAttestation: async () => vm.current } });
  return { box, vm };
}

function createClient(t: TestContext, box: TestBox, authClient: AuthClient): KeyManagementServiceClient {
  const client = new KeyManagementServiceClient({
    authClient,
    projectId: PROJECT,
    fallback: true,
    protocol: "http",
    apiEndpoint: "127.0.0.1",
    port: Number(new URL(box.endpoints["cloudkms"] ?? "").port),
  });
  t.after(() => client.close());
  return client;
}

/** The deployer, by Google's own client. */
function ownerClient(t: TestContext, box: TestBox): KeyManagementServiceClient {
  const authClient = new OAuth2Client();
  authClient.setCredentials({ access_token: box.accessToken, expiry_date: Date.now() + 3600_000 });
  return createClient(t, box, authClient);
}

/** The machine, by Google's own client: token file → token exchange → key service. */
async function machineClient(
  t: TestContext,
  box: TestBox,
  token: string,
): Promise<KeyManagementServiceClient> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-token-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, "token"), token);
  const authClient = new IdentityPoolClient({
    type: "external_account",
    audience: AUDIENCE,
    subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
    token_url: `${box.endpoints["sts"] ?? ""}/v1/token`,
    credential_source: { file: join(folder, "token"), format: { type: "text" } },
  });
  authClient.scopes = ["https://www.googleapis.com/auth/cloud-platform"];
  return createClient(t, box, authClient);
}

/** Ring, key and grant by Google's client, pool and provider over the IAM API. */
async function makeStack(t: TestContext, box: TestBox): Promise<KeyManagementServiceClient> {
  await makePool(box);
  const owner = ownerClient(t, box);
  await owner.createKeyRing({ parent: LOCATION, keyRingId: "polaris" });
  await owner.createCryptoKey({
    parent: `${LOCATION}/keyRings/polaris`,
    cryptoKeyId: "proxy",
    cryptoKey: {
      purpose: "ASYMMETRIC_DECRYPT",
      versionTemplate: { algorithm: "RSA_DECRYPT_OAEP_4096_SHA256", protectionLevel: "HSM" },
      labels: { stack: "prod" },
    },
  });
  for (;;) {
    const [version] = await owner.getCryptoKeyVersion({ name: VERSION });
    if (version.state === "ENABLED") break;
  }
  await setPolicy(box, [
    { role: "roles/cloudkms.cryptoKeyDecrypter", members: [PRINCIPAL] },
    { role: "roles/cloudkms.publicKeyViewer", members: [PRINCIPAL] },
  ]);
  return owner;
}

/** By REST: what Google's client calls for policies, its own document does not have. */
async function setPolicy(box: TestBox, bindings: readonly object[]): Promise<void> {
  const { etag } = await box.make("cloudkms", "GET", `/v1/${KEY}:getIamPolicy`);
  await box.make("cloudkms", "POST", `/v1/${KEY}:setIamPolicy`, { policy: { etag, bindings } });
}

function encrypt(pem: string, plaintext: string): Buffer {
  return publicEncrypt(
    { key: createPublicKey(pem), oaepHash: "sha256", padding: constants.RSA_PKCS1_OAEP_PADDING },
    Buffer.from(plaintext),
  );
}

test(
  "Google's client makes a key, and the attested machine decrypts with it",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const { box } = await startWithVm(t);
    const owner = await makeStack(t, box);
    const [key] = await owner.getCryptoKey({ name: KEY });
    assert.deepEqual(
      [key.purpose, key.versionTemplate?.protectionLevel, key.labels],
      ["ASYMMETRIC_DECRYPT", "HSM", { stack: "prod" }],
    );
    const machine = await machineClient(t, box, await attest(box));
    const [{ pem }] = await machine.getPublicKey({ name: VERSION });
    const [decrypted] = await machine.asymmetricDecrypt({
      name: VERSION,
      ciphertext: encrypt(String(pem), "secret"),
    });
    assert.equal(Buffer.from(decrypted.plaintext as Uint8Array).toString(), "secret");
    assert.equal(decrypted.protectionLevel, "HSM");

    await assert.rejects(machine.getCryptoKey({ name: KEY }), { code: 7 });
    await assert.rejects(machine.destroyCryptoKeyVersion({ name: VERSION }), { code: 7 });
  },
);

test(
  "Google's client disables, enables, destroys and restores a version",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const { box } = await startWithVm(t);
    const owner = await makeStack(t, box);
    for (const state of ["DISABLED", "ENABLED"] as const) {
      const [version] = await owner.updateCryptoKeyVersion({
        cryptoKeyVersion: { name: VERSION, state },
        updateMask: { paths: ["state"] },
      });
      assert.equal(version.state, state);
    }
    assert.equal((await owner.destroyCryptoKeyVersion({ name: VERSION }))[0].state, "DESTROY_SCHEDULED");
    assert.equal((await owner.restoreCryptoKeyVersion({ name: VERSION }))[0].state, "DISABLED");
    const [versions] = await owner.listCryptoKeyVersions({ parent: KEY });
    assert.equal(versions.length, 1);
    await assert.rejects(owner.createKeyRing({ parent: LOCATION, keyRingId: "polaris" }), { code: 6 });
  },
);

const strangers: readonly { readonly name: string; readonly vm: VerifiedMachine }[] = [
  { name: "a VM of another project", vm: otherVm({ machine: { projectNumber: "999999999999" } }) },
  { name: "another VM of the same project", vm: otherVm({ machine: { instanceId: "7444444444444444444" } }) },
  { name: "a VM in another zone", vm: otherVm({ machine: { zone: "europe-west4-b" } }) },
  {
    name: "a VM with another service account",
    vm: otherVm({ machine: { serviceAccount: `other@${PROJECT}.iam.gserviceaccount.com` } }),
  },
  { name: "SEV instead of SEV-SNP", vm: otherVm({ platform: { hwmodel: "GCP_AMD_SEV" } }) },
  { name: "a VM without confidential computing", vm: otherVm({ platform: { hwmodel: "GCP_SHIELDED_VM" } }) },
  { name: "secure boot switched off", vm: otherVm({ platform: { secboot: false } }) },
  { name: "another operating system", vm: otherVm({ platform: { swname: "CONFIDENTIAL_SPACE" } }) },
];

test(
  "who does not fulfil a clause of the condition gets no token, and so no key",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const { box, vm } = await startWithVm(t);
    await makeStack(t, box);
    for (const stranger of strangers) {
      await t.test(stranger.name, async (t) => {
        vm.current = stranger.vm;
        const token = await attest(box);
        const answer = await box.call("sts", "POST", "/v1/token", { token: null, form: exchangeForm(token) });
        assert.deepEqual(answer, {
          status: 400,
          body: {
            error: "unauthorized_client",
            error_description: "The given credential is rejected by the attribute condition.",
          },
        });
        const client = await machineClient(t, box, token);
        await assert.rejects(client.getPublicKey({ name: VERSION }), /unauthorized_client/);
      });
    }
  },
);

/** Each clause keeps somebody out: without it, that machine comes in. */
const clauses: readonly { readonly clause: string; readonly vm: VerifiedMachine }[] = [
  { clause: "project_number", vm: otherVm({ machine: { projectNumber: "999999999999" } }) },
  { clause: "instance_id", vm: otherVm({ machine: { instanceId: "7444444444444444444" } }) },
  { clause: "gce.zone", vm: otherVm({ machine: { zone: "europe-west4-b" } }) },
  {
    clause: "google_service_accounts",
    vm: otherVm({ machine: { serviceAccount: "x@y.iam.gserviceaccount.com" } }),
  },
  { clause: "hwmodel", vm: otherVm({ platform: { hwmodel: "GCP_AMD_SEV" } }) },
  { clause: "secboot", vm: otherVm({ platform: { secboot: false } }) },
  { clause: "swname", vm: otherVm({ platform: { swname: "CONFIDENTIAL_SPACE" } }) },
];

test(
  "a condition without one of its clauses lets that one machine in",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const { box, vm } = await startWithVm(t);
    await makePool(box);
    for (const { clause, vm: stranger } of clauses) {
      const kept = PROVIDER_BODY.attributeCondition.split(" && ").filter((part) => !part.includes(clause));
      const attributeCondition = kept.join(" && ");
      assert.equal(kept.length, PROVIDER_BODY.attributeCondition.split(" && ").length - 1, clause);
      await box.make(
        "iam",
        "PATCH",
        `/v1/${AUDIENCE.slice("//iam.googleapis.com/".length)}?updateMask=attributeCondition`,
        {
          ...PROVIDER_BODY,
          attributeCondition,
        },
      );
      vm.current = stranger;
      const answer = await box.call("sts", "POST", "/v1/token", {
        token: null,
        form: exchangeForm(await attest(box)),
      });
      assert.equal(answer.status, 200, clause);
    }
  },
);

test(
  "an access token of a principal without a grant opens nothing",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const { box } = await startWithVm(t);
    await makeStack(t, box);
    const machine = await machineClient(t, box, await attest(box));
    await machine.getPublicKey({ name: VERSION });
    await setPolicy(box, []);
    await assert.rejects(machine.getPublicKey({ name: VERSION }), {
      code: 7,
      reason: "IAM_PERMISSION_DENIED",
    });
  },
);

test(
  "an expired token gets nothing, nor does an access token after its hour",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const { box } = await startWithVm(t);
    await makeStack(t, box);
    const token = await attest(box);
    const fresh = await box.call("sts", "POST", "/v1/token", { token: null, form: exchangeForm(token) });
    const bearer = fresh.body.access_token;
    assert.equal(
      (await box.call("cloudkms", "GET", `/v1/${VERSION}/publicKey`, { token: bearer })).status,
      200,
    );
    box.clock.nowMs += 3600_000;
    assert.equal(
      (await box.call("cloudkms", "GET", `/v1/${VERSION}/publicKey`, { token: bearer })).status,
      401,
    );
    const stale = await box.call("sts", "POST", "/v1/token", { token: null, form: exchangeForm(token) });
    assert.deepEqual([stale.status, stale.body.error], [400, "invalid_grant"]);
    assert.match(stale.body.error_description, /stale to sign-in/);
  },
);
