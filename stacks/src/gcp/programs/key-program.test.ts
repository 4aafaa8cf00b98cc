import assert from "node:assert/strict";
import { test } from "node:test";
import { createKeyProgram } from "./key-program.ts";
import type { AttestedPoolInputs, KeyPartInputs } from "./part-inputs.ts";
import { parseKeyOutputs } from "./part-outputs.ts";
import { findFaults, NO_SCHEMA } from "./testing/find-faults.ts";
import { recordProgram } from "./testing/record-program.ts";
import type { RecordedProgram } from "./testing/record-program.ts";
import { assertOneProvider, inventoryOf, resourceNamed, resourcesOf } from "./testing/recorded-resources.ts";
import { KEY_INPUTS, POOL_PRINCIPALS } from "./testing/sample-inputs.ts";

function record(inputs: Partial<KeyPartInputs> = {}): Promise<RecordedProgram> {
  return recordProgram(createKeyProgram({ ...KEY_INPUTS, ...inputs }));
}

const approved = await record();
const unapproved = await record({ decrypter: undefined });
const released = await record({ keyProtection: "released" });
const existingRing = await record({ keyRing: { kind: "existing", name: "team-ring" } });

test("key is these resources and no other", () => {
  assert.deepEqual(inventoryOf(approved), {
    "services-cloudkms": "projects/service:Service",
    "services-iam": "projects/service:Service",
    pool: "iam/workloadIdentityPool:WorkloadIdentityPool",
    "pool-provider": "iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider",
    "key-ring": "kms/keyRing:KeyRing",
    key: "kms/cryptoKey:CryptoKey",
    "key-decrypt": "kms/cryptoKeyIAMMember:CryptoKeyIAMMember",
    "key-public-key": "kms/cryptoKeyIAMMember:CryptoKeyIAMMember",
  });
});

test("the key's project and credentials are its own", async () => {
  assertOneProvider(approved);
  const program = await record({
    access: { project: "other-keys", accessToken: "ya29.key-owner", origins: undefined },
  });
  const provider = program.resources.find(({ name }) => name === "gcp");
  assert.deepEqual(provider?.inputs, {
    project: "other-keys",
    accessToken: "ya29.key-owner",
    addPulumiAttributionLabel: "false",
    pollInterval: "1s",
  });
  assert.deepEqual(provider.secretInputs, ["accessToken"]);
});

test("the key is RSA-4096 for decryption, born in an HSM, and never rotates by itself", () => {
  assert.deepEqual(resourceNamed(approved, "key-ring").inputs, {
    name: "hello-prod-x7k2",
    location: "europe-west4",
  });
  assert.deepEqual(resourceNamed(approved, "key").inputs, {
    name: "envelope",
    keyRing: "projects/hello-keys/locations/europe-west4/keyRings/hello-prod-x7k2",
    purpose: "ASYMMETRIC_DECRYPT",
    versionTemplate: { algorithm: "RSA_DECRYPT_OAEP_4096_SHA256", protectionLevel: "HSM" },
    destroyScheduledDuration: "2592000s",
    labels: { "polaris-stack": "hello-prod" },
    deletionPolicy: "PREVENT",
  });
});

test("a key that is kept has four locks against its end", () => {
  const { inputs, options } = resourceNamed(approved, "key");
  assert.equal(inputs["deletionPolicy"], "PREVENT");
  assert.deepEqual(options, {
    protect: true,
    retainOnDelete: true,
    deleteBeforeReplace: false,
    replaceOnChanges: [],
  });
  const ring = resourceNamed(approved, "key-ring").options;
  assert.deepEqual([ring.protect, ring.retainOnDelete], [true, true]);
});

test("the way to a kept key is protected with it", () => {
  for (const name of ["pool", "pool-provider"]) {
    assert.equal(resourceNamed(approved, name).options.protect, true);
    assert.equal(resourceNamed(released, name).options.protect, false);
  }
});

test("a released key can be destroyed, and still not be destroyed by a replacement", () => {
  const { inputs, options } = resourceNamed(released, "key");
  assert.equal(inputs["deletionPolicy"], "DELETE");
  assert.deepEqual(options, {
    protect: false,
    retainOnDelete: false,
    deleteBeforeReplace: false,
    replaceOnChanges: [],
  });
});

test("a key ring of the user's is used as it is", () => {
  assert.deepEqual(resourcesOf(existingRing, "kms/keyRing:KeyRing"), []);
  assert.equal(
    resourceNamed(existingRing, "key").inputs["keyRing"],
    "projects/hello-keys/locations/europe-west4/keyRings/team-ring",
  );
});

test("the pool takes tokens of the issuer that meet the condition, as one subject each", () => {
  assert.deepEqual(resourceNamed(approved, "pool").inputs, {
    workloadIdentityPoolId: "hello-prod-x7k2",
    description: "Polaris stack hello/prod",
  });
  assert.deepEqual(resourceNamed(approved, "pool-provider").inputs, {
    workloadIdentityPoolId: "hello-prod-x7k2",
    workloadIdentityPoolProviderId: "attestation",
    attributeCondition: "assertion.hwmodel in ['GCP_AMD_SEV_SNP']",
    attributeMapping: { "google.subject": "'gcpcvm::' + assertion.submods.gce.instance_id" },
    oidc: {
      issuerUri: "https://confidentialcomputing.googleapis.com",
      allowedAudiences: ["https://polaris.example/hello-prod-x7k2"],
    },
  });
});

test("one principal may decrypt and read the public key, and nobody may anything else", () => {
  const cryptoKeyId =
    "projects/hello-keys/locations/europe-west4/keyRings/hello-prod-x7k2/cryptoKeys/envelope";
  const member = `${POOL_PRINCIPALS}4711`;
  const grants = approved.resources.filter(
    ({ type }) => /iam/i.test(type) && /member|binding|policy/i.test(type),
  );
  assert.deepEqual(
    grants.map(({ inputs }) => inputs),
    [
      { cryptoKeyId, member, role: "roles/cloudkms.cryptoKeyDecrypter" },
      { cryptoKeyId, member, role: "roles/cloudkms.publicKeyViewer" },
    ],
  );
});

test("without a machine there is no grant, and the outputs say so", () => {
  assert.deepEqual(resourcesOf(unapproved, "kms/cryptoKeyIAMMember:CryptoKeyIAMMember"), []);
  assert.deepEqual(parseKeyOutputs(unapproved.outputs).decrypters, []);
  assert.deepEqual(parseKeyOutputs(approved.outputs), {
    keyRing: "projects/hello-keys/locations/europe-west4/keyRings/hello-prod-x7k2",
    key: "projects/hello-keys/locations/europe-west4/keyRings/hello-prod-x7k2/cryptoKeys/envelope",
    pool: "projects/123456789012/locations/global/workloadIdentityPools/hello-prod-x7k2",
    provider:
      "projects/123456789012/locations/global/workloadIdentityPools/hello-prod-x7k2/providers/attestation",
    decrypters: [`${POOL_PRINCIPALS}4711`],
  });
});

test("the key does not wait for the pool, nor the pool for the key", () => {
  const waits = Object.keys(inventoryOf(approved)).map((name) => [
    name,
    resourceNamed(approved, name).waitsFor,
  ]);
  assert.deepEqual(Object.fromEntries(waits), {
    "services-cloudkms": [],
    "services-iam": [],
    pool: ["services-iam"],
    "pool-provider": ["pool"],
    "key-ring": ["services-cloudkms"],
    key: ["key-ring", "services-cloudkms"],
    "key-decrypt": ["key", "pool"],
    "key-public-key": ["key", "pool"],
  });
});

const REFUSED_POOLS: readonly (readonly [
  title: string,
  pool: Partial<AttestedPoolInputs>,
  message: RegExp,
])[] = [
  ["an empty condition", { attributeCondition: "" }, /^the key's identity pool has no attribute condition$/],
  [
    "a blank condition",
    { attributeCondition: " \n\t" },
    /^the key's identity pool has no attribute condition$/,
  ],
  [
    "a condition that is too long",
    { attributeCondition: "a".repeat(4097) },
    /^the attribute condition has 4097 characters, at most 4096 are allowed$/,
  ],
  ["no subject mapping", { subjectMapping: "" }, /^the key's identity pool has no subject mapping$/],
  [
    "a subject mapping that is too long",
    { subjectMapping: "a".repeat(2049) },
    /^the subject mapping has 2049 characters, at most 2048 are allowed$/,
  ],
  ["no audience", { allowedAudiences: [] }, /^the key's identity pool names no audience of its tokens$/],
  [
    "an empty audience",
    { allowedAudiences: [""] },
    /^the key's identity pool names no audience of its tokens$/,
  ],
];

for (const [title, pool, message] of REFUSED_POOLS) {
  test(`${title} is refused before anything is made`, () => {
    assert.throws(() => createKeyProgram({ ...KEY_INPUTS, pool: { ...KEY_INPUTS.pool, ...pool } }), {
      code: "CONFIG_INVALID",
      message,
    });
  });
}

const POOLS = "iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools";
const REFUSED_DECRYPTERS: readonly (readonly [title: string, decrypter: string])[] = [
  ["nobody", ""],
  ["all of the internet", "allUsers"],
  ["everybody in the pool", `principalSet://${POOLS}/hello-prod-x7k2/*`],
  ["everybody with one attribute", `principalSet://${POOLS}/hello-prod-x7k2/attribute.zone/a`],
  ["a principal of another pool", `principal://${POOLS}/other-pool/subject/gcpcvm::1::2`],
  ["a principal without a subject", `principal://${POOLS}/hello-prod-x7k2/subject/`],
  ["a service account", "serviceAccount:vm@hello-project.iam.gserviceaccount.com"],
];

for (const [title, decrypter] of REFUSED_DECRYPTERS) {
  test(`a grant to ${title} is refused before anything is made`, () => {
    assert.throws(() => createKeyProgram({ ...KEY_INPUTS, decrypter }), {
      code: "CONFIG_INVALID",
      message: `the key's grant names "${decrypter}", expected one principal of the pool hello-prod-x7k2`,
    });
  });
}

test("the real provider's schema has nothing against the inputs", { skip: NO_SCHEMA }, () => {
  for (const program of [approved, unapproved, released, existingRing]) {
    assert.deepEqual(findFaults(program), []);
  }
});
