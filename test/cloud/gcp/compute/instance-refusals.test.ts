import assert from "node:assert/strict";
import { test } from "node:test";
import { DISCOVERY_MISSING, type Json, PROJECT } from "../box-fixture.ts";
import { instanceBody, INSTANCES, REGION, startComputeBox, ZONE } from "./compute-fixture.ts";

const MACHINES = `projects/${PROJECT}/zones/${ZONE}/machineTypes`;

interface Refusal {
  readonly name: string;
  readonly change: (body: Json) => void;
  readonly path?: string;
  readonly status?: number;
  readonly reason?: string;
  readonly message: RegExp;
}

const image = (body: Json, path: string): void => {
  body.disks[0].initializeParams.sourceImage = path;
};

const REFUSALS: readonly Refusal[] = [
  {
    name: "SEV-SNP on another family than n2d",
    change: (body) => (body.machineType = `${MACHINES}/c2d-standard-2`),
    message: /resource\.m(inCpuPlatform|achineType)'.*c2d|n2d only/,
  },
  {
    name: "SEV-SNP on a small machine",
    change: (body) => {
      body.machineType = `${MACHINES}/e2-medium`;
      delete body.minCpuPlatform;
    },
    message: /n2d only/,
  },
  { name: "SEV-SNP without a processor", change: (body) => delete body.minCpuPlatform, message: /AMD Milan/ },
  {
    name: "SEV-SNP on an older processor",
    change: (body) => (body.minCpuPlatform = "AMD Rome"),
    message: /AMD Milan/,
  },
  {
    name: "a processor that the family does not have",
    change: (body) => (body.minCpuPlatform = "Intel Ice Lake"),
    message: /not available for machine type/,
  },
  {
    name: "SEV-SNP that migrates",
    change: (body) => (body.scheduling.onHostMaintenance = "MIGRATE"),
    message: /TERMINATE/,
  },
  { name: "SEV-SNP without scheduling", change: (body) => delete body.scheduling, message: /TERMINATE/ },
  {
    name: "an image that is not ready for SEV-SNP",
    change: (body) => image(body, "projects/cos-cloud/global/images/cos-105-17412-535-98"),
    message: /SEV_SNP_CAPABLE/,
  },
  {
    name: "an image without UEFI and gVNIC",
    change: (body) => image(body, "projects/debian-cloud/global/images/family/debian-old"),
    message: /UEFI-compatible/,
  },
  {
    name: "SEV-SNP over VirtIO",
    change: (body) => (body.networkInterfaces[0].nicType = "VIRTIO_NET"),
    message: /GVNIC/,
  },
  {
    name: "a type while confidential computing is off",
    change: (body) => (body.confidentialInstanceConfig.enableConfidentialCompute = false),
    message: /needs enableConfidentialCompute/,
  },
  {
    name: "TDX on n2d",
    change: (body) => (body.confidentialInstanceConfig.confidentialInstanceType = "TDX"),
    message: /c3-standard/,
  },
  {
    name: "SEV that migrates on Rome",
    change: (body) => {
      body.confidentialInstanceConfig = { enableConfidentialCompute: true };
      body.minCpuPlatform = "AMD Rome";
      body.scheduling.onHostMaintenance = "MIGRATE";
    },
    message: /SEV need onHostMaintenance TERMINATE/,
  },
  {
    name: "a confidential type that nobody knows",
    change: (body) => (body.confidentialInstanceConfig.confidentialInstanceType = "SNP"),
    message: /Invalid value at 'confidentialInstanceConfig.confidentialInstanceType' \(TYPE_ENUM\), "SNP"/,
  },
  {
    name: "an unknown host maintenance",
    change: (body) => (body.scheduling.onHostMaintenance = "STOP"),
    message: /TYPE_ENUM/,
  },
  {
    name: "a host error timeout out of step",
    change: (body) => (body.scheduling.hostErrorTimeoutSeconds = 91),
    message: /hostErrorTimeoutSeconds/,
  },
  {
    name: "integrity monitoring without a TPM",
    change: (body) => (body.shieldedInstanceConfig.enableVtpm = false),
    message: /vTPM/,
  },
  { name: "no name", change: (body) => delete body.name, reason: "required", message: /resource\.name/ },
  {
    name: "a name in upper case",
    change: (body) => (body.name = "Polaris_VM"),
    message: /resource\.name.*Must be a match of regex/,
  },
  {
    name: "a name of 64 characters",
    change: (body) => (body.name = "a".repeat(64)),
    message: /resource\.name/,
  },
  {
    name: "no machine type",
    change: (body) => delete body.machineType,
    reason: "required",
    message: /machineType/,
  },
  {
    name: "an unknown machine type",
    change: (body) => (body.machineType = `${MACHINES}/n2d-standard-3`),
    message: /'n2d-standard-3' does not exist in zone 'us-central1-a'/,
  },
  {
    name: "the machine type of another zone",
    change: (body) =>
      (body.machineType = `projects/${PROJECT}/zones/us-central1-b/machineTypes/n2d-standard-2`),
    message: /another zone/,
  },
  {
    name: "an unknown zone",
    change: () => {},
    path: "zones/moon-1-a/instances",
    message: /'zone': 'moon-1-a'. Unknown zone/,
  },
  {
    name: "an unknown image",
    change: (body) => image(body, "projects/cos-cloud/global/images/cos-stable-1"),
    message: /image resource cannot be found/,
  },
  { name: "no boot disk", change: (body) => (body.disks = []), reason: "required", message: /disks/ },
  {
    name: "a disk without an image",
    change: (body) => delete body.disks[0].initializeParams.sourceImage,
    message: /must have a source/,
  },
  {
    name: "a disk smaller than its image",
    change: (body) => (body.disks[0].initializeParams.diskSizeGb = "5"),
    message: /smaller than the image/,
  },
  {
    name: "an unknown type of disk",
    change: (body) =>
      (body.disks[0].initializeParams.diskType = `projects/${PROJECT}/zones/${ZONE}/diskTypes/pd-fast`),
    message: /diskType resource cannot be found/,
  },
  {
    name: "no network interface",
    change: (body) => (body.networkInterfaces = []),
    reason: "required",
    message: /networkInterfaces/,
  },
  {
    name: "an unknown subnetwork",
    change: (body) =>
      (body.networkInterfaces[0].subnetwork = `projects/${PROJECT}/regions/${REGION}/subnetworks/other`),
    message: /subnetwork resource cannot be found/,
  },
  {
    name: "a custom network without its subnetwork",
    change: (body) =>
      (body.networkInterfaces = [{ network: "global/networks/polaris-net", nicType: "GVNIC" }]),
    message: /Subnetwork should be specified/,
  },
  {
    name: "an address that nobody reserved",
    change: (body) => (body.networkInterfaces[0].accessConfigs = [{ natIP: "203.0.113.250" }]),
    message: /was not found in region/,
  },
  {
    name: "a NIC type in lower case",
    change: (body) => (body.networkInterfaces[0].nicType = "gvnic"),
    message: /TYPE_ENUM/,
  },
  {
    name: "two service accounts",
    change: (body) => body.serviceAccounts.push(body.serviceAccounts[0]),
    message: /At most one service account/,
  },
  {
    name: "an account without scopes",
    change: (body) => delete body.serviceAccounts[0].scopes,
    reason: "required",
    message: /scopes/,
  },
  {
    name: "a tag in upper case",
    change: (body) => (body.tags.items = ["Polaris"]),
    message: /tags\.items\[0\]/,
  },
  { name: "a label in upper case", change: (body) => (body.labels = { App: "x" }), message: /Label keys/ },
  {
    name: "a label value with blanks",
    change: (body) => (body.labels = { app: "x y" }),
    message: /Label values/,
  },
  {
    name: "user-data of 300 KB",
    change: (body) => (body.metadata.items[0].value = "x".repeat(300_000)),
    status: 413,
    reason: "fieldSizeTooLarge",
    message: /items\[0\]\.value' is too large: maximum size 262144 character\(s\); actual size 300000/,
  },
  {
    name: "a metadata key twice",
    change: (body) => body.metadata.items.push(body.metadata.items[0]),
    message: /duplicate keys/,
  },
  {
    name: "a field that no instance has",
    change: (body) => (body.userData = "x"),
    message: /Unknown name "userData": Cannot find field/,
  },
  {
    name: "a text where a switch is meant",
    change: (body) => (body.canIpForward = "perhaps"),
    message: /TYPE_BOOL/,
  },
];

test("a machine that Google would refuse is refused at once", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startComputeBox(t);
  for (const { name, change, path, status, reason, message } of REFUSALS) {
    await t.test(name, async () => {
      const body = instanceBody();
      change(body);
      const answer = await box.send("POST", path ?? INSTANCES, body);
      assert.equal(answer.status, status ?? 400, JSON.stringify(answer.body));
      assert.match(answer.body.error.message, message);
      assert.equal(answer.body.error.code, status ?? 400);
      if (reason !== undefined) assert.equal(answer.body.error.errors[0].reason, reason);
    });
  }
  assert.equal((await box.get(INSTANCES)).items, undefined, "nothing was made");
  assert.deepEqual(box.events, []);
});
