import type { AppPartInputs, BasePartInputs, CloudAccess, KeyPartInputs } from "../part-inputs.ts";

export const ACCESS: CloudAccess = {
  project: "hello-project",
  accessToken: undefined,
  origins: undefined,
};

export const LABELS = { "polaris-stack": "hello-prod" };

export const BASE_INPUTS: BasePartInputs = {
  access: ACCESS,
  region: "europe-west4",
  description: "Polaris stack hello/prod",
  labels: LABELS,
  services: [
    "compute.googleapis.com",
    "iam.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "artifactregistry.googleapis.com",
    "confidentialcomputing.googleapis.com",
  ],
  network: {
    kind: "own",
    networkName: "hello-prod-net-x7k2",
    subnetworkName: "hello-prod-subnet-x7k2",
    ipv4Range: "10.10.0.0/24",
    nat: undefined,
  },
  firewall: {
    allowRuleName: "hello-prod-proxy-x7k2",
    port: 3000,
    allowedIpv4Ranges: ["203.0.113.0/24", "198.51.100.7/32"],
    networkTag: "hello-prod-x7k2",
  },
  serviceAccount: { kind: "own", accountId: "hello-prod-vm-x7k2" },
  repository: { kind: "own", repositoryId: "hello-prod-x7k2" },
  logging: false,
};

export const POOL_PRINCIPALS =
  "principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/hello-prod-x7k2/subject/gcpcvm::123456789012::";

export const KEY_INPUTS: KeyPartInputs = {
  access: { ...ACCESS, project: "hello-keys" },
  description: "Polaris stack hello/prod",
  labels: LABELS,
  services: ["cloudkms.googleapis.com", "iam.googleapis.com"],
  location: "europe-west4",
  keyRing: { kind: "own", name: "hello-prod-x7k2" },
  keyName: "envelope",
  destroyScheduledDuration: "2592000s",
  keyProtection: "kept",
  pool: {
    poolId: "hello-prod-x7k2",
    providerId: "attestation",
    issuerUri: "https://confidentialcomputing.googleapis.com",
    allowedAudiences: ["https://polaris.example/hello-prod-x7k2"],
    attributeCondition: "assertion.hwmodel in ['GCP_AMD_SEV_SNP']",
    subjectMapping: "'gcpcvm::' + assertion.submods.gce.instance_id",
  },
  decrypter: `${POOL_PRINCIPALS}4711`,
};

export const APP_INPUTS: AppPartInputs = {
  access: ACCESS,
  region: "europe-west4",
  zone: "europe-west4-a",
  labels: LABELS,
  instanceName: "hello-prod-x7k2",
  machineType: "n2d-standard-2",
  image: "https://www.googleapis.com/compute/v1/projects/cos-cloud/global/images/cos-stable-125-19216-104-1",
  bootDisk: { sizeGb: 20, type: "pd-balanced" },
  subnetwork: "projects/hello-project/regions/europe-west4/subnetworks/hello-prod-subnet-x7k2",
  networkTag: "hello-prod-x7k2",
  address: { kind: "static", name: "hello-prod-ip-x7k2" },
  serviceAccountEmail: "hello-prod-vm-x7k2@hello-project.iam.gserviceaccount.com",
  userData: (secretVersions) => `#cloud-config\n${JSON.stringify({ secretVersions })}\n`,
  logging: false,
  secrets: { readerPrefix: POOL_PRINCIPALS, values: [] },
};
