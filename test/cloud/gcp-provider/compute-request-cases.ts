/** What the real provider sends to Compute, and for its look-ups, as measured on the wire. */
import type { Recorded } from "./recording-stub.ts";
import type { RequestCase } from "./request-cases.ts";

const NETWORK = "projects/p/global/networks/net";
const REGION = "projects/p/regions/europe-west4";
const SUBNET = `${REGION}/subnetworks/sub`;
const FIREWALL = "projects/p/global/firewalls/https";
const ADDRESS = `${REGION}/addresses/ip`;
const ROUTER = `${REGION}/routers/router`;
const ZONE = "projects/p/zones/europe-west4-a";
const VM = `${ZONE}/instances/vm`;
const DISK = `${ZONE}/disks/vm`;
const GOOGLE = "https://www.googleapis.com/compute/v1";
const MARK = { "goog-pulumi-provisioned": "true" };
const HAND = "alt=json&prettyPrint=false";

const FIREWALL_INPUTS = {
  name: "https",
  network: `${GOOGLE}/${NETWORK}`,
  direction: "INGRESS",
  allows: [{ protocol: "tcp", ports: ["443"] }],
  sourceRanges: ["0.0.0.0/0"],
  targetTags: ["https"],
};

export const VM_INPUTS = {
  name: "vm",
  machineType: "n2d-standard-2",
  minCpuPlatform: "AMD Milan",
  confidentialInstanceConfig: { enableConfidentialCompute: true, confidentialInstanceType: "SEV_SNP" },
  shieldedInstanceConfig: { enableSecureBoot: true, enableVtpm: true, enableIntegrityMonitoring: true },
  scheduling: { onHostMaintenance: "TERMINATE", automaticRestart: true },
  bootDisk: {
    initializeParams: {
      image: `${GOOGLE}/projects/cos-cloud/global/images/cos-stable-125-1`,
      size: 20,
      type: "pd-balanced",
    },
  },
  networkInterfaces: [
    { subnetwork: `${GOOGLE}/${SUBNET}`, nicType: "GVNIC", accessConfigs: [{ natIp: "203.0.113.7" }] },
  ],
  serviceAccount: { email: "vm@p.iam.gserviceaccount.com", scopes: ["cloud-platform"] },
  tags: ["polaris", "https"],
  labels: { app: "polaris" },
  metadata: { "user-data": "#cloud-config\n", "enable-oslogin": "TRUE" },
};

/** The machine as Compute shows it. */
export const VM_ANSWER = {
  id: "1000",
  name: "vm",
  status: "RUNNING",
  zone: `${GOOGLE}/${ZONE}`,
  machineType: `${GOOGLE}/${ZONE}/machineTypes/n2d-standard-2`,
  minCpuPlatform: "AMD Milan",
  confidentialInstanceConfig: { enableConfidentialCompute: true, confidentialInstanceType: "SEV_SNP" },
  shieldedInstanceConfig: { enableSecureBoot: true, enableVtpm: true, enableIntegrityMonitoring: true },
  scheduling: {
    onHostMaintenance: "TERMINATE",
    automaticRestart: true,
    preemptible: false,
    provisioningModel: "STANDARD",
  },
  disks: [
    {
      boot: true,
      autoDelete: true,
      mode: "READ_WRITE",
      deviceName: "persistent-disk-0",
      source: `${GOOGLE}/${DISK}`,
    },
  ],
  networkInterfaces: [
    {
      name: "nic0",
      network: `${GOOGLE}/${NETWORK}`,
      subnetwork: `${GOOGLE}/${SUBNET}`,
      nicType: "GVNIC",
      accessConfigs: [{ name: "external-nat", natIP: "203.0.113.7", type: "ONE_TO_ONE_NAT" }],
    },
  ],
  serviceAccounts: [
    { email: "vm@p.iam.gserviceaccount.com", scopes: ["https://www.googleapis.com/auth/cloud-platform"] },
  ],
  tags: { items: ["https", "polaris"], fingerprint: "tags-1" },
  labels: { ...MARK, app: "polaris" },
  labelFingerprint: "labels-1",
  metadata: {
    fingerprint: "metadata-1",
    items: [
      { key: "enable-oslogin", value: "TRUE" },
      { key: "user-data", value: "#cloud-config\n" },
    ],
  },
};

export const DISK_ANSWER = {
  sizeGb: "20",
  type: `${GOOGLE}/${ZONE}/diskTypes/pd-balanced`,
  sourceImage: `${GOOGLE}/projects/cos-cloud/global/images/cos-stable-125-1`,
};

export const VM_ANSWERS = {
  [`GET /compute/v1/${VM}`]: VM_ANSWER,
  [`GET /compute/v1/${DISK}`]: DISK_ANSWER,
};

const VM_READ: readonly Recorded[] = [
  [`GET /compute/v1/${VM}?alt=json&view=FULL`],
  [`GET /compute/v1/${DISK}?alt=json`],
];

const VM_LOOK: Recorded = [`GET /compute/v1/${VM}?alt=json&view=FULL`];

const VM_STATE = {
  ...VM_INPUTS,
  bootDisk: { ...VM_INPUTS.bootDisk, autoDelete: true, mode: "READ_WRITE" },
  effectiveLabels: { ...MARK, app: "polaris" },
};

/** An update of the machine: what it is, and the calls between the first look and the last read. */
function vmUpdate(
  name: string,
  changed: Readonly<Record<string, unknown>>,
  calls: readonly Recorded[],
): RequestCase {
  return {
    name,
    token: "gcp:compute/instance:Instance",
    operation: "update",
    id: VM,
    state: VM_STATE,
    inputs: { ...VM_INPUTS, ...changed },
    answers: VM_ANSWERS,
    requests: [VM_LOOK, ...calls, ...VM_READ],
  };
}

export const NETWORK_CASES: readonly RequestCase[] = [
  {
    name: "a network is made, its operation polled by its place, and read",
    token: "gcp:compute/network:Network",
    operation: "create",
    inputs: { name: "net", autoCreateSubnetworks: false },
    answers: {
      "POST /compute/v1/projects/p/global/networks": { name: "op", status: "PENDING" },
      "GET /compute/v1/projects/p/global/operations/op": [
        { name: "op", status: "RUNNING" },
        { name: "op", status: "DONE" },
      ],
      [`GET /compute/v1/${NETWORK}`]: {},
    },
    requests: [
      [
        "POST /compute/v1/projects/p/global/networks?alt=json",
        {
          name: "net",
          autoCreateSubnetworks: false,
          networkFirewallPolicyEnforcementOrder: "AFTER_CLASSIC_FIREWALL",
        },
      ],
      ["GET /compute/v1/projects/p/global/operations/op?alt=json"],
      ["GET /compute/v1/projects/p/global/operations/op?alt=json"],
      [`GET /compute/v1/${NETWORK}?alt=json`],
    ],
  },
  {
    name: "a network that is gone already is deleted too",
    token: "gcp:compute/network:Network",
    operation: "delete",
    id: NETWORK,
    inputs: { name: "net" },
    answers: { [`DELETE /compute/v1/${NETWORK}`]: { status: 404 } },
    requests: [[`DELETE /compute/v1/${NETWORK}?alt=json`]],
  },
  {
    name: "a subnetwork is made with relative links",
    token: "gcp:compute/subnetwork:Subnetwork",
    operation: "create",
    inputs: {
      name: "sub",
      network: `${GOOGLE}/${NETWORK}`,
      region: "europe-west4",
      ipCidrRange: "10.0.0.0/24",
      privateIpGoogleAccess: true,
    },
    answers: {
      [`POST /compute/v1/${REGION}/subnetworks`]: {
        name: "op",
        status: "PENDING",
        region: `${GOOGLE}/${REGION}`,
      },
      [`GET /compute/v1/${REGION}/operations/op`]: { name: "op", status: "DONE" },
      [`GET /compute/v1/${SUBNET}`]: {},
    },
    requests: [
      [
        `POST /compute/v1/${REGION}/subnetworks?alt=json`,
        {
          ipCidrRange: "10.0.0.0/24",
          logConfig: { enable: false },
          name: "sub",
          network: NETWORK,
          privateIpGoogleAccess: true,
          region: "projects/p/global/regions/europe-west4",
        },
      ],
      [`GET /compute/v1/${REGION}/operations/op?alt=json`],
      [`GET /compute/v1/${SUBNET}?alt=json`],
    ],
  },
  {
    name: "a subnetwork is widened, and a false is left out of its body",
    token: "gcp:compute/subnetwork:Subnetwork",
    operation: "update",
    id: SUBNET,
    state: { name: "sub", network: NETWORK, ipCidrRange: "10.0.0.0/24", privateIpGoogleAccess: true },
    inputs: { name: "sub", network: NETWORK, ipCidrRange: "10.0.0.0/20", privateIpGoogleAccess: false },
    answers: { [`GET /compute/v1/${SUBNET}`]: {} },
    requests: [
      [`POST /compute/v1/${SUBNET}/expandIpCidrRange?alt=json`, { ipCidrRange: "10.0.0.0/20" }],
      [`POST /compute/v1/${SUBNET}/setPrivateIpGoogleAccess?alt=json`, {}],
      [`GET /compute/v1/${SUBNET}?alt=json`],
    ],
  },
  {
    name: "a firewall is made",
    token: "gcp:compute/firewall:Firewall",
    operation: "create",
    inputs: FIREWALL_INPUTS,
    answers: { [`GET /compute/v1/${FIREWALL}`]: {} },
    requests: [
      [
        "POST /compute/v1/projects/p/global/firewalls?alt=json",
        {
          allowed: [{ IPProtocol: "tcp", ports: ["443"] }],
          direction: "INGRESS",
          logConfig: { enable: false },
          name: "https",
          network: NETWORK,
          priority: 1000,
          sourceRanges: ["0.0.0.0/0"],
          targetTags: ["https"],
        },
      ],
      [`GET /compute/v1/${FIREWALL}?alt=json`],
    ],
  },
  {
    name: "a firewall is patched as a whole, with its empty lists",
    token: "gcp:compute/firewall:Firewall",
    operation: "update",
    id: FIREWALL,
    state: FIREWALL_INPUTS,
    inputs: { ...FIREWALL_INPUTS, sourceRanges: ["203.0.113.0/24"] },
    answers: { [`GET /compute/v1/${FIREWALL}`]: {} },
    requests: [
      [
        `PATCH /compute/v1/${FIREWALL}?alt=json`,
        {
          allowed: [{ IPProtocol: "tcp", ports: ["443"] }],
          destinationRanges: [],
          direction: "INGRESS",
          logConfig: { enable: false },
          name: "https",
          network: NETWORK,
          priority: 1000,
          sourceRanges: ["203.0.113.0/24"],
          sourceServiceAccounts: [],
          sourceTags: [],
          targetServiceAccounts: [],
          targetTags: ["https"],
        },
      ],
      [`GET /compute/v1/${FIREWALL}?alt=json`],
    ],
  },
  {
    name: "an address is made, and its labels are always set once more",
    token: "gcp:compute/address:Address",
    operation: "create",
    inputs: { name: "ip", region: "europe-west4" },
    answers: { [`GET /compute/v1/${ADDRESS}`]: { labelFingerprint: "f" } },
    requests: [
      [
        `POST /compute/v1/${REGION}/addresses?alt=json`,
        {
          addressType: "EXTERNAL",
          labels: MARK,
          name: "ip",
          region: "projects/p/global/regions/europe-west4",
        },
      ],
      [`GET /compute/v1/${ADDRESS}?alt=json`],
      [`POST /compute/v1/${ADDRESS}/setLabels?alt=json`, { labelFingerprint: "f", labels: MARK }],
      [`GET /compute/v1/${ADDRESS}?alt=json`],
    ],
  },
  {
    name: "a router is made with no routing protocol",
    token: "gcp:compute/router:Router",
    operation: "create",
    inputs: { name: "router", network: "net" },
    answers: { [`GET /compute/v1/${ROUTER}`]: {} },
    requests: [
      [
        `POST /compute/v1/${REGION}/routers?alt=json`,
        { bgp: null, name: "router", network: NETWORK, region: "projects/p/global/regions/europe-west4" },
      ],
      [`GET /compute/v1/${ROUTER}?alt=json`],
    ],
  },
  {
    name: "a NAT is put into its router",
    token: "gcp:compute/routerNat:RouterNat",
    operation: "create",
    inputs: {
      name: "nat",
      router: "router",
      natIpAllocateOption: "AUTO_ONLY",
      sourceSubnetworkIpRangesToNat: "ALL_SUBNETWORKS_ALL_IP_RANGES",
      logConfig: { enable: true, filter: "ERRORS_ONLY" },
    },
    answers: { [`GET /compute/v1/${ROUTER}`]: [{ nats: [{ name: "other" }] }, { nats: [{ name: "nat" }] }] },
    requests: [
      [`GET /compute/v1/${ROUTER}?alt=json`],
      [
        `PATCH /compute/v1/${ROUTER}?alt=json`,
        {
          nats: [
            { name: "other" },
            {
              name: "nat",
              natIpAllocateOption: "AUTO_ONLY",
              sourceSubnetworkIpRangesToNat: "ALL_SUBNETWORKS_ALL_IP_RANGES",
              logConfig: { enable: true, filter: "ERRORS_ONLY" },
              type: "PUBLIC",
            },
          ],
        },
      ],
      [`GET /compute/v1/${ROUTER}?alt=json`],
    ],
  },
  {
    name: "a NAT is taken out of its router",
    token: "gcp:compute/routerNat:RouterNat",
    operation: "delete",
    id: "p/europe-west4/router/nat",
    inputs: { name: "nat", router: "router", sourceSubnetworkIpRangesToNat: "ALL_SUBNETWORKS_ALL_IP_RANGES" },
    answers: { [`GET /compute/v1/${ROUTER}`]: { nats: [{ name: "nat" }] } },
    requests: [
      [`GET /compute/v1/${ROUTER}?alt=json`],
      [`PATCH /compute/v1/${ROUTER}?alt=json`, { nats: [] }],
    ],
  },
  {
    name: "a project is looked up with its billing",
    token: "gcp:organizations/getProject:getProject",
    operation: "invoke",
    inputs: {},
    answers: {
      "GET /v1/projects/p": { projectId: "p", projectNumber: "7", name: "P", lifecycleState: "ACTIVE" },
      "GET /v1/projects/p/billingInfo": { billingAccountName: "billingAccounts/1" },
    },
    requests: [[`GET /v1/projects/p?${HAND}`], [`GET /v1/projects/p/billingInfo?${HAND}`]],
  },
  {
    name: "an image is looked up by its family",
    token: "gcp:compute/getImage:getImage",
    operation: "invoke",
    inputs: { project: "cos-cloud", family: "cos-stable" },
    answers: {
      "GET /compute/v1/projects/cos-cloud/global/images/family/cos-stable": { name: "cos-stable-125-1" },
    },
    requests: [["GET /compute/v1/projects/cos-cloud/global/images/family/cos-stable?alt=json"]],
  },
  {
    name: "a key ring is looked up by one read",
    token: "gcp:kms/getKMSKeyRing:getKMSKeyRing",
    operation: "invoke",
    inputs: { name: "polaris", location: "europe-west4" },
    answers: { "GET /v1/projects/p/locations/europe-west4/keyRings/polaris": {} },
    requests: [["GET /v1/projects/p/locations/europe-west4/keyRings/polaris?alt=json"]],
  },
  {
    name: "the client's configuration is known without a call",
    token: "gcp:organizations/getClientConfig:getClientConfig",
    operation: "invoke",
    inputs: {},
    requests: [],
  },
];

export const INSTANCE_CASES: readonly RequestCase[] = [
  {
    name: "a machine is made with everything, looked at until it runs, and read with its disk",
    token: "gcp:compute/instance:Instance",
    operation: "create",
    inputs: VM_INPUTS,
    answers: {
      ...VM_ANSWERS,
      [`POST /compute/v1/${ZONE}/instances`]: { name: "op", status: "RUNNING", zone: `${GOOGLE}/${ZONE}` },
      [`GET /compute/v1/${ZONE}/operations/op`]: { name: "op", status: "DONE", zone: `${GOOGLE}/${ZONE}` },
      [`GET /compute/v1/${VM}`]: [{ ...VM_ANSWER, status: "PROVISIONING" }, VM_ANSWER],
    },
    requests: [
      [
        `POST /compute/v1/${ZONE}/instances?alt=json`,
        {
          name: "vm",
          machineType: `${ZONE}/machineTypes/n2d-standard-2`,
          minCpuPlatform: "AMD Milan",
          canIpForward: false,
          deletionProtection: false,
          params: {},
          confidentialInstanceConfig: {
            confidentialInstanceType: "SEV_SNP",
            enableConfidentialCompute: true,
          },
          shieldedInstanceConfig: {
            enableIntegrityMonitoring: true,
            enableSecureBoot: true,
            enableVtpm: true,
          },
          scheduling: {
            automaticRestart: true,
            onHostMaintenance: "TERMINATE",
            preemptible: false,
            provisioningModel: "",
            instanceTerminationAction: "",
            skipGuestOsShutdown: false,
            nodeAffinities: [null],
            gracefulShutdown: null,
            hostErrorTimeoutSeconds: null,
            localSsdRecoveryTimeout: null,
            maxRunDuration: null,
            onInstanceStopAction: null,
            preemptionNoticeDuration: null,
          },
          disks: [
            {
              boot: true,
              autoDelete: true,
              mode: "READ_WRITE",
              initializeParams: {
                diskSizeGb: "20",
                diskType: `${ZONE}/diskTypes/pd-balanced`,
                sourceImage: "projects/cos-cloud/global/images/cos-stable-125-1",
              },
            },
          ],
          networkInterfaces: [
            {
              subnetwork: SUBNET,
              nicType: "GVNIC",
              accessConfigs: [{ natIP: "203.0.113.7", type: "ONE_TO_ONE_NAT" }],
            },
          ],
          serviceAccounts: [
            {
              email: "vm@p.iam.gserviceaccount.com",
              scopes: ["https://www.googleapis.com/auth/cloud-platform"],
            },
          ],
          tags: { items: ["https", "polaris"] },
          labels: { ...MARK, app: "polaris" },
          metadata: {
            items: [
              { key: "enable-oslogin", value: "TRUE" },
              { key: "user-data", value: "#cloud-config\n" },
            ],
          },
        },
      ],
      [`GET /compute/v1/${ZONE}/operations/op?alt=json`],
      VM_LOOK,
      VM_LOOK,
      ...VM_READ,
    ],
  },
  {
    name: "a machine is deleted",
    token: "gcp:compute/instance:Instance",
    operation: "delete",
    id: VM,
    inputs: VM_INPUTS,
    requests: [[`DELETE /compute/v1/${VM}?alt=json`]],
  },
  vmUpdate(
    "changed user-data is set, and the machine goes on running",
    { metadata: { "user-data": "new" } },
    [
      [`GET /compute/v1/${VM}?alt=json`],
      [
        `POST /compute/v1/${VM}/setMetadata?alt=json`,
        { fingerprint: "metadata-1", items: [{ key: "user-data", value: "new" }] },
      ],
    ],
  ),
  vmUpdate("tags are set with their fingerprint", { tags: ["https"] }, [
    [`POST /compute/v1/${VM}/setTags?alt=json`, { fingerprint: "tags-1", items: ["https"] }],
  ]),
  vmUpdate("labels are set with theirs, and those of others stay", { labels: { app: "other" } }, [
    [
      `POST /compute/v1/${VM}/setLabels?alt=json`,
      { labelFingerprint: "labels-1", labels: { ...MARK, app: "other" } },
    ],
  ]),
  vmUpdate(
    "another machine type stops the machine",
    { machineType: "n2d-standard-4", allowStoppingForUpdate: true },
    [
      [`POST /compute/v1/${VM}/stop?alt=json`],
      [
        `POST /compute/v1/${VM}/setMachineType?alt=json`,
        { machineType: `${ZONE}/machineTypes/n2d-standard-4` },
      ],
      [`POST /compute/v1/${VM}/start?alt=json`],
    ],
  ),
  vmUpdate(
    "secure boot off stops the machine",
    {
      shieldedInstanceConfig: { enableSecureBoot: false, enableVtpm: true, enableIntegrityMonitoring: true },
      allowStoppingForUpdate: true,
    },
    [
      [`POST /compute/v1/${VM}/stop?alt=json`],
      [
        `PATCH /compute/v1/${VM}/updateShieldedInstanceConfig?alt=json`,
        { enableSecureBoot: false, enableVtpm: true, enableIntegrityMonitoring: true },
      ],
      [`POST /compute/v1/${VM}/start?alt=json`],
    ],
  ),
  vmUpdate(
    "another confidential technology is no call at all",
    { confidentialInstanceConfig: { enableConfidentialCompute: true, confidentialInstanceType: "SEV" } },
    [],
  ),
  vmUpdate(
    "a larger boot disk is resized",
    { bootDisk: { initializeParams: { ...VM_INPUTS.bootDisk.initializeParams, size: 30 } } },
    [[`POST /compute/v1/${DISK}/resize?alt=json`, { sizeGb: 30 }]],
  ),
  vmUpdate(
    "a dropped public address is taken from the interface",
    { networkInterfaces: [{ subnetwork: SUBNET, nicType: "GVNIC", accessConfigs: [] }] },
    [
      [`POST /compute/v1/${VM}/deleteAccessConfig?accessConfig=external-nat&alt=json&networkInterface=nic0`],
      [`POST /compute/v1/${VM}/setSecurityPolicy?alt=json`, { networkInterfaces: ["nic0"] }],
    ],
  ),
  vmUpdate("protection against deletion is a call of its own", { deletionProtection: true }, [
    [`POST /compute/v1/${VM}/setDeletionProtection?alt=json&deletionProtection=true`],
  ]),
];
