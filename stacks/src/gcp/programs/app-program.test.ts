import assert from "node:assert/strict";
import { test } from "node:test";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { createAppProgram } from "./app-program.ts";
import type { AppPartInputs } from "./part-inputs.ts";
import { parseAppOutputs } from "./part-outputs.ts";
import { findFaults, NO_SCHEMA } from "./testing/find-faults.ts";
import { recordProgram } from "./testing/record-program.ts";
import type { RecordedProgram } from "./testing/record-program.ts";
import { assertOneProvider, inventoryOf, resourceNamed, resourcesOf } from "./testing/recorded-resources.ts";
import { APP_INPUTS, POOL_PRINCIPALS } from "./testing/sample-inputs.ts";

const SECRETS: AppPartInputs["secrets"] = {
  readerPrefix: POOL_PRINCIPALS,
  values: [
    { variable: "API_KEY", secretId: "hello-prod-api-key-x7k2", value: "correct horse battery staple" },
    { variable: "DB_PASSWORD", secretId: "hello-prod-db-password-x7k2", value: "x" },
  ],
};

function record(inputs: Partial<AppPartInputs> = {}): Promise<RecordedProgram> {
  return recordProgram(createAppProgram({ ...APP_INPUTS, ...inputs }));
}

const plain = await record();
const withSecrets = await record({ secrets: SECRETS });
const ephemeral = await record({ address: { kind: "ephemeral" } });
const isPrivate = await record({ address: { kind: "none" } });

test("app is these resources and no other", () => {
  assert.deepEqual(inventoryOf(plain), {
    "vm-address": "compute/address:Address",
    vm: "compute/instance:Instance",
  });
  assert.deepEqual(inventoryOf(isPrivate), { vm: "compute/instance:Instance" });
  assert.deepEqual(inventoryOf(withSecrets), {
    "secrets-API_KEY": "secretmanager/secret:Secret",
    "secrets-API_KEY-version": "secretmanager/secretVersion:SecretVersion",
    "secrets-API_KEY-reader": "secretmanager/secretIamMember:SecretIamMember",
    "secrets-DB_PASSWORD": "secretmanager/secret:Secret",
    "secrets-DB_PASSWORD-version": "secretmanager/secretVersion:SecretVersion",
    "secrets-DB_PASSWORD-reader": "secretmanager/secretIamMember:SecretIamMember",
    "vm-address": "compute/address:Address",
    vm: "compute/instance:Instance",
  });
});

test("everything is made by the program's own provider", () => {
  assertOneProvider(withSecrets);
  assert.deepEqual(plain.resources.find(({ name }) => name === "gcp")?.inputs, {
    project: "hello-project",
    region: "europe-west4",
    zone: "europe-west4-a",
    addPulumiAttributionLabel: "false",
    pollInterval: "1s",
  });
});

test("the machine is exactly this", () => {
  assert.deepEqual(resourceNamed(plain, "vm").inputs, {
    name: "hello-prod-x7k2",
    zone: "europe-west4-a",
    machineType: "n2d-standard-2",
    minCpuPlatform: "AMD Milan",
    confidentialInstanceConfig: {
      enableConfidentialCompute: true,
      confidentialInstanceType: "SEV_SNP",
    },
    scheduling: { onHostMaintenance: "TERMINATE", automaticRestart: true },
    shieldedInstanceConfig: {
      enableSecureBoot: true,
      enableVtpm: true,
      enableIntegrityMonitoring: true,
    },
    bootDisk: {
      autoDelete: true,
      initializeParams: {
        image:
          "https://www.googleapis.com/compute/v1/projects/cos-cloud/global/images/cos-stable-125-19216-104-1",
        size: 20,
        type: "pd-balanced",
      },
    },
    networkInterfaces: [
      {
        subnetwork: "projects/hello-project/regions/europe-west4/subnetworks/hello-prod-subnet-x7k2",
        nicType: "GVNIC",
        accessConfigs: [{ natIp: "203.0.113.7" }],
      },
    ],
    serviceAccount: {
      email: "hello-prod-vm-x7k2@hello-project.iam.gserviceaccount.com",
      scopes: ["https://www.googleapis.com/auth/cloud-platform"],
    },
    metadata: {
      "user-data": '#cloud-config\n{"secretVersions":{}}\n',
      "block-project-ssh-keys": "true",
      "enable-oslogin": "TRUE",
      "serial-port-enable": "false",
      "cos-update-strategy": "update_disabled",
      "google-logging-enabled": "false",
    },
    tags: ["hello-prod-x7k2"],
    labels: { "polaris-stack": "hello-prod" },
    allowStoppingForUpdate: true,
  });
});

test("a static address is one of its own, an ephemeral one the machine's, and a private machine has none", () => {
  assert.deepEqual(resourceNamed(plain, "vm-address").inputs, {
    name: "hello-prod-ip-x7k2",
    region: "europe-west4",
    addressType: "EXTERNAL",
    labels: { "polaris-stack": "hello-prod" },
  });
  assert.deepEqual(accessConfigsOf(ephemeral), [{}]);
  assert.deepEqual(accessConfigsOf(isPrivate), []);
});

test("logs go out only where they are on", async () => {
  const program = await record({ logging: true });
  assert.equal(metadataOf(program)["google-logging-enabled"], "true");
});

const REPLACING = [
  "confidentialInstanceConfig",
  "confidentialInstanceConfig.confidentialInstanceType",
  'metadata["user-data"]',
  "metadata",
  "bootDisk.initializeParams.image",
  "serviceAccount.email",
  "shieldedInstanceConfig.enableSecureBoot",
];
const NOT_REPLACING = [
  "bootDisk.initializeParams.resourceManagerTags",
  "bootDisk.initializeParams.size",
  "labels.team",
  "tags[0]",
  "machineType",
  "networkInterfaces[0].accessConfigs[0].natIp",
];

test("a change of what the machine is or runs replaces it, and no other change does", () => {
  const { replaceOnChanges, deleteBeforeReplace } = resourceNamed(plain, "vm").options;
  const replaces = (path: string): boolean => replaceOnChanges.some((prefix) => isWithin(prefix, path));
  assert.deepEqual(
    REPLACING.filter((path) => !replaces(path)),
    [],
  );
  assert.deepEqual(NOT_REPLACING.filter(replaces), []);
  assert.equal(deleteBeforeReplace, true, "its name is taken as long as it is there");
});

test("a secret is a secret of Secret Manager in the machine's region, and marked as one", () => {
  assert.deepEqual(resourceNamed(withSecrets, "secrets-API_KEY").inputs, {
    secretId: "hello-prod-api-key-x7k2",
    labels: { "polaris-stack": "hello-prod" },
    replication: { userManaged: { replicas: [{ location: "europe-west4" }] } },
  });
  const version = resourceNamed(withSecrets, "secrets-API_KEY-version");
  assert.deepEqual(version.inputs, {
    secret: "projects/hello-project/secrets/hello-prod-api-key-x7k2",
    secretData: "correct horse battery staple",
  });
  assert.deepEqual(version.secretInputs, ["secretData"]);
});

test("no secret is anywhere else", () => {
  assert.deepEqual(resourceNamed(withSecrets, "vm").secretInputs, []);
  const others = withSecrets.resources.filter(({ type }) => !type.includes("secretVersion"));
  assert.doesNotMatch(JSON.stringify([others, withSecrets.outputs]), /correct horse/);
});

test("user-data names the exact version of each secret, so that a new one is a new machine", () => {
  const [head, document] = String(metadataOf(withSecrets)["user-data"]).split("\n");
  assert.equal(head, "#cloud-config");
  assert.deepEqual(JSON.parse(String(document)), {
    secretVersions: {
      API_KEY: "projects/123456789012/secrets/hello-prod-api-key-x7k2/versions/1",
      DB_PASSWORD: "projects/123456789012/secrets/hello-prod-db-password-x7k2/versions/1",
    },
  });
});

test("what user-data has against the rest, it says before anything is made", () => {
  const refusal = new PolarisError("CONFIG_INVALID", "the port is taken");
  const userData = (): never => {
    throw refusal;
  };
  assert.throws(() => createAppProgram({ ...APP_INPUTS, userData }), refusal);
});

test("only the attested machine reads them", () => {
  const grants = withSecrets.resources.filter(({ type }) => /member|binding|policy/i.test(type));
  assert.deepEqual(
    grants.map(({ inputs }) => inputs),
    ["hello-prod-api-key-x7k2", "hello-prod-db-password-x7k2"].map((secretId) => ({
      secretId: `projects/hello-project/secrets/${secretId}`,
      role: "roles/secretmanager.secretAccessor",
      member: `${POOL_PRINCIPALS}9223372036854775807`,
    })),
  );
});

test("the machine waits for its address and its secrets' versions, and for no grant", () => {
  assert.deepEqual(resourceNamed(ephemeral, "vm").waitsFor, []);
  assert.deepEqual(resourceNamed(withSecrets, "vm").waitsFor, [
    "secrets-API_KEY-version",
    "secrets-DB_PASSWORD-version",
    "vm-address",
  ]);
});

test("the outputs are those of the schema, and the instance id is text", () => {
  const always = {
    instance: "projects/hello-project/zones/europe-west4-a/instances/hello-prod-x7k2",
    instanceId: "9223372036854775807",
    internalAddress: "10.10.0.2",
  };
  assert.deepEqual(parseAppOutputs(plain.outputs), { ...always, externalAddress: "203.0.113.7" });
  assert.deepEqual(parseAppOutputs(ephemeral.outputs), { ...always, externalAddress: "203.0.113.99" });
  assert.deepEqual(parseAppOutputs(isPrivate.outputs), always);
});

const IMAGES = "https://www.googleapis.com/compute/v1/projects/cos-cloud/global/images";
const SECRET = { variable: "API_KEY", secretId: "api-key", value: "x" };
const REFUSED: readonly (readonly [title: string, inputs: Partial<AppPartInputs>, message: RegExp])[] = [
  [
    "a machine type without SEV-SNP",
    { machineType: "e2-medium" },
    /^the machine type e2-medium has no AMD SEV-SNP$/,
  ],
  ["a machine type of c3", { machineType: "c3-standard-4" }, /^the machine type c3-standard-4 has no/],
  ["an image family", { image: "cos-cloud/cos-stable" }, /is not the link of one image$/],
  ["the link of an image family", { image: `${IMAGES}/family/cos-stable` }, /is not the link of one image$/],
  [
    "an image by the address of a simulated cloud",
    { image: "http://127.0.0.1:8080/compute/v1/projects/cos-cloud/global/images/x" },
    /is not the link of one image$/,
  ],
  ["no user-data", { userData: () => "" }, /^the machine's user-data has 0 bytes, expected 1 to 262144$/],
  [
    "user-data that is too long in UTF-8",
    { userData: () => "ä".repeat(131_073) },
    /^the machine's user-data has 262146 bytes, expected 1 to 262144$/,
  ],
  [
    "an empty secret",
    { secrets: { readerPrefix: POOL_PRINCIPALS, values: [{ ...SECRET, value: "" }] } },
    /^the secret API_KEY is empty$/,
  ],
  [
    "secrets without an attested principal",
    { secrets: { readerPrefix: undefined, values: [SECRET] } },
    /^the workload has secrets, and there is no attested principal that could read them$/,
  ],
  [
    "secrets that a whole pool could read",
    { secrets: { readerPrefix: POOL_PRINCIPALS.replace("principal:", "principalSet:"), values: [SECRET] } },
    /^the workload has secrets, and there is no attested principal/,
  ],
];

for (const [title, inputs, message] of REFUSED) {
  test(`${title} is refused before anything is made`, () => {
    assert.throws(() => createAppProgram({ ...APP_INPUTS, ...inputs }), { code: "CONFIG_INVALID", message });
  });
}

test("user-data may be as long as Compute Engine takes it", () => {
  createAppProgram({ ...APP_INPUTS, userData: () => "x".repeat(262_144) });
});

test("without a pool and without secrets there is nothing to read", async () => {
  const program = await record({ secrets: { readerPrefix: undefined, values: [] } });
  assert.deepEqual(resourcesOf(program, "secretmanager/secretIamMember:SecretIamMember"), []);
});

test("the real provider's schema has nothing against the inputs", { skip: NO_SCHEMA }, () => {
  for (const program of [plain, withSecrets, ephemeral, isPrivate]) assert.deepEqual(findFaults(program), []);
});

function accessConfigsOf(program: RecordedProgram): unknown {
  const nics = resourceNamed(program, "vm").inputs["networkInterfaces"];
  assert.ok(Array.isArray(nics) && nics.length === 1);
  return Reflect.get(nics[0] as object, "accessConfigs");
}

function metadataOf(program: RecordedProgram): Readonly<Record<string, unknown>> {
  return resourceNamed(program, "vm").inputs["metadata"] as Readonly<Record<string, unknown>>;
}

/** The engine's rule: a path covers itself and everything below it. */
function isWithin(prefix: string, path: string): boolean {
  const [outer, inner] = [prefix, path].map((text) => text.match(/[^.[\]"]+/g) ?? []);
  return outer?.every((segment, index) => segment === inner?.[index]) ?? false;
}
