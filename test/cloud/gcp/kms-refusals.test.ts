import assert from "node:assert/strict";
import { test } from "node:test";
import { DISCOVERY_MISSING, NUMBER, PROJECT, startTestBox } from "./box-fixture.ts";
import { HSM_KEY, KEY, makeKey, PARENT, RING } from "./kms-fixture.ts";

interface Refusal {
  readonly name: string;
  readonly method?: string;
  readonly path: string;
  readonly json?: unknown;
  readonly token?: string;
  readonly status: number;
  readonly message: RegExp;
}

const newKey = `${RING}/cryptoKeys?cryptoKeyId=second`;
const refusals: readonly Refusal[] = [
  {
    name: "ring that exists",
    path: `${PARENT}/keyRings?keyRingId=polaris`,
    status: 409,
    message: /^KeyRing projects\/polaris-box\/locations\/europe-west4\/keyRings\/polaris already exists\.$/,
  },
  { name: "ring without a name", path: `${PARENT}/keyRings`, status: 400, message: /key_ring_id/ },
  {
    name: "ring with a dot in its name",
    path: `${PARENT}/keyRings?keyRingId=a.b`,
    status: 400,
    message: /key_ring_id/,
  },
  {
    name: "ring on the moon",
    path: `/v1/projects/${PROJECT}/locations/moon/keyRings?keyRingId=x`,
    status: 400,
    message: /moon/,
  },
  {
    name: "ring of a project that is not there",
    path: "/v1/projects/other/locations/europe-west4/keyRings?keyRingId=x",
    status: 403,
    message: /other/,
  },
  { name: "deletion of a ring", method: "DELETE", path: RING, status: 400, message: /cannot be deleted/ },
  {
    name: "unknown ring",
    method: "GET",
    path: `${PARENT}/keyRings/none`,
    status: 404,
    message: /^KeyRing .* not found\.$/,
  },
  {
    name: "key that exists",
    path: `${RING}/cryptoKeys?cryptoKeyId=proxy`,
    json: HSM_KEY,
    status: 409,
    message: /^CryptoKey projects\/.*\/cryptoKeys\/proxy already exists\.$/,
  },
  {
    name: "key in an unknown ring",
    path: `${PARENT}/keyRings/none/cryptoKeys?cryptoKeyId=x`,
    json: HSM_KEY,
    status: 404,
    message: /^KeyRing/,
  },
  {
    name: "key with a blank in its name",
    path: `${RING}/cryptoKeys?cryptoKeyId=a%20b`,
    json: HSM_KEY,
    status: 400,
    message: /crypto_key_id/,
  },
  {
    name: "key with a name of 64 characters",
    path: `${RING}/cryptoKeys?cryptoKeyId=${"k".repeat(64)}`,
    json: HSM_KEY,
    status: 400,
    message: /crypto_key_id/,
  },
  {
    name: "key without a purpose",
    path: newKey,
    json: { ...HSM_KEY, purpose: undefined },
    status: 400,
    message: /purpose/,
  },
  {
    name: "unknown purpose",
    path: newKey,
    json: { ...HSM_KEY, purpose: "TALK" },
    status: 400,
    message: /TYPE_ENUM/,
  },
  {
    name: "algorithm of another purpose",
    path: newKey,
    json: { ...HSM_KEY, purpose: "ENCRYPT_DECRYPT" },
    status: 400,
    message: /not valid for the purpose ENCRYPT_DECRYPT/,
  },
  {
    name: "asymmetric key without an algorithm",
    path: newKey,
    json: { ...HSM_KEY, versionTemplate: {} },
    status: 400,
    message: /algorithm must be set/,
  },
  {
    name: "rotation of an asymmetric key",
    path: newKey,
    json: { ...HSM_KEY, rotationPeriod: "7776000s" },
    status: 400,
    message: /rotation/,
  },
  {
    name: "destruction after an hour",
    path: newKey,
    json: { ...HSM_KEY, destroyScheduledDuration: "3600s" },
    status: 400,
    message: /destroy_scheduled_duration/,
  },
  {
    name: "destruction after 121 days",
    path: newKey,
    json: { ...HSM_KEY, destroyScheduledDuration: "10454400s" },
    status: 400,
    message: /destroy_scheduled_duration/,
  },
  {
    name: "label in upper case",
    path: newKey,
    json: { ...HSM_KEY, labels: { stack: "Prod" } },
    status: 400,
    message: /Label value/,
  },
  {
    name: "unknown field",
    path: newKey,
    json: { ...HSM_KEY, hsm: true },
    status: 400,
    message: /Unknown name "hsm"/,
  },
  {
    name: "hardware module where there is none",
    path: `/v1/projects/${PROJECT}/locations/us-east1/keyRings/east/cryptoKeys?cryptoKeyId=x`,
    json: HSM_KEY,
    status: 400,
    message: /HSM is not supported in the location us-east1/,
  },
  {
    name: "kind of key that is not made here",
    path: newKey,
    json: {
      ...HSM_KEY,
      versionTemplate: { ...HSM_KEY.versionTemplate, algorithm: "RSA_DECRYPT_OAEP_3072_SHA256" },
    },
    status: 501,
    message: /only keys of/,
  },
  {
    name: "unknown key",
    method: "GET",
    path: `${RING}/cryptoKeys/none`,
    status: 404,
    message: /^CryptoKey .* not found\.$/,
  },
  {
    name: "unknown version",
    method: "GET",
    path: `${KEY}/cryptoKeyVersions/9`,
    status: 404,
    message: /^CryptoKeyVersion .* not found\.$/,
  },
  {
    name: "version that is no number",
    method: "GET",
    path: `${KEY}/cryptoKeyVersions/one`,
    status: 400,
    message: /does not match/,
  },
  {
    name: "member of a pool that is not there",
    path: `${KEY}:setIamPolicy`,
    json: {
      policy: {
        bindings: [
          {
            role: "roles/cloudkms.viewer",
            members: [
              `principalSet://iam.googleapis.com/projects/${NUMBER}/locations/global/workloadIdentityPools/none/*`,
            ],
          },
        ],
      },
    },
    status: 400,
    message: /^Identity Pool does not exist \(projects\/.*\/none\)\./,
  },
  {
    name: "service account that is not there",
    path: `${KEY}:setIamPolicy`,
    json: {
      policy: {
        bindings: [
          {
            role: "roles/cloudkms.viewer",
            members: [`serviceAccount:none@${PROJECT}.iam.gserviceaccount.com`],
          },
        ],
      },
    },
    status: 400,
    message: /^Service account none@.* does not exist\.$/,
  },
  {
    name: "role that is none",
    path: `${KEY}:setIamPolicy`,
    json: { policy: { bindings: [{ role: "cloudkms.viewer", members: ["user:a@example.com"] }] } },
    status: 400,
    message: /Role cloudkms\.viewer/,
  },
  {
    name: "somebody without a role",
    method: "GET",
    path: KEY,
    token: "stranger",
    status: 403,
    message: /^Permission 'cloudkms\.cryptoKeys\.get' denied on resource/,
  },
  {
    name: "decryption by somebody without a role",
    path: `${KEY}/cryptoKeyVersions/1:asymmetricDecrypt`,
    json: { ciphertext: "AA==" },
    token: "stranger",
    status: 403,
    message: /useToDecrypt/,
  },
  {
    name: "unknown token",
    method: "GET",
    path: KEY,
    token: "forged",
    status: 401,
    message: /invalid authentication credentials/,
  },
];

test("the key service refuses what Google's refuses", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startTestBox(t, { iam: { locationsWithoutHsm: ["us-east1"] } });
  await makeKey(box);
  await box.make("cloudkms", "POST", `/v1/projects/${PROJECT}/locations/us-east1/keyRings?keyRingId=east`);
  const stranger = box.tokenOf("user:stranger@example.com");
  for (const { name, method = "POST", path, json, token, status, message } of refusals) {
    await t.test(name, async () => {
      const answer = await box.call("cloudkms", method, path, {
        ...(token === undefined ? {} : { token: token === "stranger" ? stranger : token }),
        ...(method === "POST" ? { json: json ?? {} } : {}),
      });
      assert.equal(answer.status, status, JSON.stringify(answer.body));
      assert.match(answer.body.error.message, message);
      assert.equal(answer.body.error.code, status);
    });
  }
});
