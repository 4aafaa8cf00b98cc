import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { DISK_ANSWER, VM_ANSWER, VM_INPUTS } from "./compute-request-cases.ts";
import type { Fields } from "./fields.ts";
import { connectToProvider } from "./provider-client.ts";
import type { ProviderClient } from "./provider-client.ts";
import { startRecordingStub, stubConfig } from "./recording-stub.ts";
import type { RecordingStub } from "./recording-stub.ts";
import { startGcpProvider } from "./start-provider.ts";
import type { GcpProvider } from "./start-provider.ts";

const VM_TYPE = "gcp:compute/instance:Instance";
const VM = "projects/p/zones/europe-west4-a/instances/vm";

let provider: GcpProvider;
let stub: RecordingStub;
let client: ProviderClient;
/** What the stub answers for the machine and for its disk. */
let vm: Fields = VM_ANSWER;
let disk: Fields = DISK_ANSWER;

before(async () => {
  provider = await startGcpProvider();
  stub = await startRecordingStub((_method, path) => ({ body: path.includes("/disks/") ? disk : vm }));
  client = connectToProvider(provider.port);
  await client.configure(stubConfig(stub.origin));
});

after(async () => {
  client.close();
  await stub.stop();
  await provider.stop();
});

async function checked(token: string, inputs: Fields): Promise<Fields> {
  const result = await client.check(token, inputs);
  assert.deepEqual(result.failures, []);
  return result.inputs;
}

/** What is planned for a machine that was read as the stub has it. */
async function planVm(inputs: Fields): Promise<Readonly<Record<string, string>>> {
  const wanted = await checked(VM_TYPE, inputs);
  const read = await client.read(
    VM_TYPE,
    VM,
    await checked(VM_TYPE, VM_INPUTS),
    await checked(VM_TYPE, VM_INPUTS),
  );
  return (await client.diff(VM_TYPE, read.state, wanted)).detailed;
}

test("a machine that the cloud shows as it was made has no changes", async () => {
  assert.deepEqual(await planVm(VM_INPUTS), {});
});

const VM_CHANGES: readonly (readonly [
  name: string,
  changed: Fields,
  planned: Readonly<Record<string, string>>,
])[] = [
  [
    "another technology",
    { confidentialInstanceConfig: { enableConfidentialCompute: true, confidentialInstanceType: "SEV" } },
    { "confidentialInstanceConfig.confidentialInstanceType": "update" },
  ],
  ["no confidential block any more", { confidentialInstanceConfig: undefined }, {}],
  [
    "user-data",
    { metadata: { ...VM_INPUTS.metadata, "user-data": "new" } },
    { 'metadata["user-data"]': "update" },
  ],
  [
    "one metadata key less",
    { metadata: { "user-data": "#cloud-config\n" } },
    { 'metadata["enable-oslogin"]': "delete" },
  ],
  ["tags in another order", { tags: ["https", "polaris"] }, {}],
  ["another tag", { tags: ["https", "other"] }, { "tags[1]": "update" }],
  ["labels", { labels: { app: "polaris", team: "a" } }, { "labels.team": "add" }],
  [
    "machine type by its link",
    {
      machineType:
        "https://www.googleapis.com/compute/v1/projects/p/zones/europe-west4-a/machineTypes/n2d-standard-2",
    },
    {},
  ],
  ["machine type", { machineType: "n2d-standard-4" }, { machineType: "update" }],
  [
    "secure boot",
    {
      shieldedInstanceConfig: { enableSecureBoot: false, enableVtpm: true, enableIntegrityMonitoring: true },
    },
    { "shieldedInstanceConfig.enableSecureBoot": "update" },
  ],
  ["name", { name: "other" }, { name: "update-replace" }],
  ["zone", { zone: "europe-west4-b" }, { zone: "update-replace" }],
  [
    "kind of network interface",
    { networkInterfaces: [{ ...VM_INPUTS.networkInterfaces[0], nicType: "VIRTIO_NET" }] },
    { "networkInterfaces[0].nicType": "update-replace" },
  ],
  [
    "a second network interface",
    { networkInterfaces: [VM_INPUTS.networkInterfaces[0], { network: "other" }] },
    { "networkInterfaces[1]": "add-replace" },
  ],
  [
    "no public address",
    { networkInterfaces: [{ ...VM_INPUTS.networkInterfaces[0], accessConfigs: [] }] },
    { "networkInterfaces[0].accessConfigs[0]": "delete" },
  ],
  [
    "an image of another name",
    {
      bootDisk: {
        initializeParams: {
          ...VM_INPUTS.bootDisk.initializeParams,
          image: "projects/cos-cloud/global/images/cos-stable-126-1",
        },
      },
    },
    { "bootDisk.initializeParams.image": "update-replace" },
  ],
  [
    "the image by its family",
    {
      bootDisk: {
        initializeParams: { ...VM_INPUTS.bootDisk.initializeParams, image: "cos-cloud/cos-stable" },
      },
    },
    {},
  ],
  [
    "type of the disk",
    { bootDisk: { initializeParams: { ...VM_INPUTS.bootDisk.initializeParams, type: "pd-ssd" } } },
    { "bootDisk.initializeParams.type": "update-replace" },
  ],
  [
    "size of the disk",
    { bootDisk: { initializeParams: { ...VM_INPUTS.bootDisk.initializeParams, size: 30 } } },
    { "bootDisk.initializeParams.size": "update" },
  ],
  ["leave to stop", { allowStoppingForUpdate: true }, { allowStoppingForUpdate: "add" }],
];

for (const [name, changed, planned] of VM_CHANGES) {
  test(`a machine is planned by what differs: ${name}`, async () => {
    const inputs = Object.fromEntries(
      Object.entries({ ...VM_INPUTS, ...changed }).filter(([, value]) => value !== undefined),
    );
    assert.deepEqual(await planVm(inputs), planned);
  });
}

const LEFT_OUT: readonly (readonly [
  name: string,
  answer: Fields,
  disk: Fields,
  planned: Readonly<Record<string, string>>,
])[] = [
  [
    "the kind of interface",
    { ...VM_ANSWER, networkInterfaces: [{ ...VM_ANSWER.networkInterfaces[0], nicType: undefined }] },
    DISK_ANSWER,
    { "networkInterfaces[0].nicType": "add-replace" },
  ],
  ["the labels", { ...VM_ANSWER, labels: undefined }, DISK_ANSWER, { "labels.app": "add" }],
  ["the platform", { ...VM_ANSWER, minCpuPlatform: undefined }, DISK_ANSWER, { minCpuPlatform: "add" }],
  [
    "the image",
    VM_ANSWER,
    { ...DISK_ANSWER, sourceImage: undefined },
    { "bootDisk.initializeParams.image": "add-replace" },
  ],
  [
    "Google's origin of the image",
    VM_ANSWER,
    {
      ...DISK_ANSWER,
      sourceImage: "http://127.0.0.1:1/compute/v1/projects/cos-cloud/global/images/cos-stable-125-1",
    },
    { "bootDisk.initializeParams.image": "update-replace" },
  ],
  ["the whole confidential block", { ...VM_ANSWER, confidentialInstanceConfig: undefined }, DISK_ANSWER, {}],
  [
    "the type of technology",
    { ...VM_ANSWER, confidentialInstanceConfig: { enableConfidentialCompute: true } },
    DISK_ANSWER,
    { "confidentialInstanceConfig.confidentialInstanceType": "add" },
  ],
];

for (const [name, answer, diskAnswer, planned] of LEFT_OUT) {
  test(`an answer without ${name} is planned to be mended`, async () => {
    [vm, disk] = [answer, diskAnswer];
    try {
      assert.deepEqual(await planVm(VM_INPUTS), planned);
    } finally {
      [vm, disk] = [VM_ANSWER, DISK_ANSWER];
    }
  });
}

const KEY = {
  name: "key",
  keyRing: "projects/p/locations/l/keyRings/ring",
  purpose: "ASYMMETRIC_DECRYPT",
  versionTemplate: { algorithm: "RSA_DECRYPT_OAEP_4096_SHA256", protectionLevel: "HSM" },
  destroyScheduledDuration: "2592000s",
};
const SUBNETWORK = { name: "sub", network: "net", ipCidrRange: "10.0.0.0/24" };

const OTHERS: readonly (readonly [
  name: string,
  token: string,
  state: Fields,
  inputs: Fields,
  planned: Readonly<Record<string, string>>,
])[] = [
  ["a key that is the same", "gcp:kms/cryptoKey:CryptoKey", KEY, KEY, {}],
  [
    "a key's other purpose",
    "gcp:kms/cryptoKey:CryptoKey",
    KEY,
    { ...KEY, purpose: "ASYMMETRIC_SIGN" },
    { purpose: "update-replace" },
  ],
  [
    "a key's other protection",
    "gcp:kms/cryptoKey:CryptoKey",
    KEY,
    { ...KEY, versionTemplate: { ...KEY.versionTemplate, protectionLevel: "SOFTWARE" } },
    { "versionTemplate.protectionLevel": "update-replace" },
  ],
  [
    "a key's other algorithm",
    "gcp:kms/cryptoKey:CryptoKey",
    KEY,
    { ...KEY, versionTemplate: { ...KEY.versionTemplate, algorithm: "RSA_DECRYPT_OAEP_3072_SHA256" } },
    { "versionTemplate.algorithm": "update" },
  ],
  [
    "a key whose template was left out of an answer",
    "gcp:kms/cryptoKey:CryptoKey",
    { ...KEY, versionTemplate: undefined },
    KEY,
    { versionTemplate: "add", "versionTemplate.protectionLevel": "add-replace" },
  ],
  [
    "a wider subnetwork",
    "gcp:compute/subnetwork:Subnetwork",
    SUBNETWORK,
    { ...SUBNETWORK, ipCidrRange: "10.0.0.0/20" },
    { ipCidrRange: "update" },
  ],
  [
    "a narrower subnetwork",
    "gcp:compute/subnetwork:Subnetwork",
    SUBNETWORK,
    { ...SUBNETWORK, ipCidrRange: "10.0.0.0/28" },
    { ipCidrRange: "update-replace" },
  ],
  [
    "a subnetwork of other addresses",
    "gcp:compute/subnetwork:Subnetwork",
    SUBNETWORK,
    { ...SUBNETWORK, ipCidrRange: "10.1.0.0/20" },
    { ipCidrRange: "update-replace" },
  ],
  [
    "a member in another case",
    "gcp:projects/iAMMember:IAMMember",
    { project: "p", role: "r", member: "user:a@example.com" },
    { project: "p", role: "r", member: "user:A@example.com" },
    {},
  ],
  [
    "a rule's other ports",
    "gcp:compute/firewall:Firewall",
    { name: "f", network: "net", priority: 1000, allows: [{ protocol: "tcp", ports: ["443"] }] },
    { name: "f", network: "net", allows: [{ protocol: "tcp", ports: ["8443"] }] },
    { "allows[0]": "update" },
  ],
  [
    "a pool's provider without its condition",
    "gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider",
    { workloadIdentityPoolId: "p", workloadIdentityPoolProviderId: "g", attributeCondition: "true" },
    { workloadIdentityPoolId: "p", workloadIdentityPoolProviderId: "g" },
    { attributeCondition: "delete" },
  ],
];

for (const [name, token, state, inputs, planned] of OTHERS) {
  test(`a resource is planned by what differs: ${name}`, async () => {
    const result = await client.diff(token, state, await checked(token, inputs));
    assert.deepEqual(result.detailed, planned);
    assert.equal(result.changes, Object.keys(planned).length > 0);
  });
}

test("a key with a fixed name is deleted before its successor is made; one with a made-up name, and a pool, are not", async () => {
  const token = "gcp:kms/cryptoKey:CryptoKey";
  const { name: _, ...unnamed } = KEY;
  const madeUp = await checked(token, unnamed);
  assert.equal(madeUp["name"], "thing-0123456");
  const order = async (type: string, state: Fields, inputs: Fields): Promise<boolean> => {
    const result = await client.diff(type, state, inputs);
    assert.ok(result.replaces.length > 0);
    return result.deleteBeforeReplace;
  };
  assert.equal(await order(token, { ...KEY, purpose: "MAC" }, await checked(token, KEY)), true);
  assert.equal(await order(token, { ...madeUp, purpose: "MAC" }, madeUp), false);
  const pool = "gcp:iam/workloadIdentityPool:WorkloadIdentityPool";
  const inputs = await checked(pool, { workloadIdentityPoolId: "new" });
  assert.equal(await order(pool, { workloadIdentityPoolId: "old" }, inputs), false);
});
