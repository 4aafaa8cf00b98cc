import assert from "node:assert/strict";
import { test } from "node:test";
import { createBaseProgram } from "./base-program.ts";
import type { BasePartInputs } from "./part-inputs.ts";
import { parseBaseOutputs } from "./part-outputs.ts";
import { findFaults, NO_SCHEMA } from "./testing/find-faults.ts";
import { recordProgram } from "./testing/record-program.ts";
import type { RecordedProgram } from "./testing/record-program.ts";
import {
  assertOneProvider,
  inventoryOf,
  resourceNamed,
  resourcesOf,
  waitingChain,
} from "./testing/recorded-resources.ts";
import { BASE_INPUTS } from "./testing/sample-inputs.ts";

const EXISTING: Partial<BasePartInputs> = {
  network: {
    kind: "existing",
    project: "host-project",
    network: "projects/host-project/global/networks/shared",
    subnetwork: "projects/host-project/regions/europe-west4/subnetworks/shared-west4",
    denyRuleName: "hello-prod-deny-x7k2",
  },
  serviceAccount: { kind: "existing", email: "vm@other-project.iam.gserviceaccount.com" },
  repository: {
    kind: "existing",
    project: "image-project",
    location: "europe",
    repositoryId: "team-images",
  },
};

const NAT: Partial<BasePartInputs> = {
  network: {
    kind: "own",
    networkName: "hello-prod-net-x7k2",
    subnetworkName: "hello-prod-subnet-x7k2",
    ipv4Range: "10.10.0.0/24",
    nat: { routerName: "hello-prod-router-x7k2", natName: "hello-prod-nat-x7k2" },
  },
};

function record(inputs: Partial<BasePartInputs> = {}): Promise<RecordedProgram> {
  return recordProgram(createBaseProgram({ ...BASE_INPUTS, ...inputs }));
}

const own = await record();
const existing = await record(EXISTING);
const withNat = await record(NAT);
const withLogs = await record({ logging: true });

test("base is these resources and no other", () => {
  assert.deepEqual(inventoryOf(own), {
    "services-compute": "projects/service:Service",
    "services-iam": "projects/service:Service",
    "services-cloudresourcemanager": "projects/service:Service",
    "services-artifactregistry": "projects/service:Service",
    "services-confidentialcomputing": "projects/service:Service",
    network: "compute/network:Network",
    "network-subnet": "compute/subnetwork:Subnetwork",
    "network-allow-proxy": "compute/firewall:Firewall",
    identity: "serviceaccount/account:Account",
    "identity-attestation": "projects/iAMMember:IAMMember",
    images: "artifactregistry/repository:Repository",
    "images-reader": "artifactregistry/repositoryIamMember:RepositoryIamMember",
  });
});

test("everything is made by the program's own provider", () => {
  assertOneProvider(own);
  assertOneProvider(existing);
  assert.deepEqual(own.resources.find(({ name }) => name === "gcp")?.inputs, {
    project: "hello-project",
    region: "europe-west4",
    addPulumiAttributionLabel: "false",
    pollInterval: "1s",
  });
});

test("the APIs of the plan are enabled, and stay enabled", () => {
  assert.deepEqual(
    resourcesOf(own, "projects/service:Service").map(({ inputs }) => inputs),
    BASE_INPUTS.services.toSorted().map((service) => ({ service, disableOnDestroy: false })),
  );
});

test("where somebody else looks after the APIs, none is touched and nothing waits for one", async () => {
  const program = await record({ services: [] });
  assert.deepEqual(resourcesOf(program, "projects/service:Service"), []);
  assert.deepEqual(resourceNamed(program, "network").waitsFor, []);
});

test("the network is the stack's own, with Google's APIs in reach of a private machine", () => {
  assert.deepEqual(resourceNamed(own, "network").inputs, {
    name: "hello-prod-net-x7k2",
    autoCreateSubnetworks: false,
  });
  assert.deepEqual(resourceNamed(own, "network-subnet").inputs, {
    name: "hello-prod-subnet-x7k2",
    region: "europe-west4",
    network: "projects/hello-project/global/networks/hello-prod-net-x7k2",
    ipCidrRange: "10.10.0.0/24",
    privateIpGoogleAccess: true,
  });
});

test("the one rule of the firewall lets the allowed ranges reach the proxy's port", () => {
  assert.deepEqual(
    resourcesOf(own, "compute/firewall:Firewall").map(({ inputs }) => inputs),
    [
      {
        name: "hello-prod-proxy-x7k2",
        project: "hello-project",
        description: "Polaris stack hello/prod",
        network: "projects/hello-project/global/networks/hello-prod-net-x7k2",
        direction: "INGRESS",
        priority: 1000,
        allows: [{ protocol: "tcp", ports: ["3000"] }],
        sourceRanges: ["203.0.113.0/24", "198.51.100.7/32"],
        targetTags: ["hello-prod-x7k2"],
      },
    ],
  );
});

test("nobody is allowed where no range is", async () => {
  const program = await record({ firewall: { ...BASE_INPUTS.firewall, allowedIpv4Ranges: [] } });
  assert.deepEqual(resourcesOf(program, "compute/firewall:Firewall"), []);
});

test("a range that is not IPv4 is refused before anything is made", () => {
  const firewall = { ...BASE_INPUTS.firewall, allowedIpv4Ranges: ["203.0.113.0/24", "2001:db8::/32"] };
  assert.throws(() => createBaseProgram({ ...BASE_INPUTS, firewall }), {
    code: "CONFIG_INVALID",
    message: "the allowed range 2001:db8::/32 is not IPv4",
  });
});

test("in a network of the user's, its other rules do not reach the machine", () => {
  assert.deepEqual(resourcesOf(existing, "compute/network:Network"), []);
  assert.deepEqual(resourcesOf(existing, "compute/subnetwork:Subnetwork"), []);
  const allow = resourceNamed(existing, "network-allow-proxy").inputs;
  const deny = resourceNamed(existing, "network-deny-others").inputs;
  assert.equal(allow["project"], "host-project");
  assert.equal(allow["network"], "projects/host-project/global/networks/shared");
  assert.deepEqual(deny, {
    name: "hello-prod-deny-x7k2",
    project: "host-project",
    description: "Polaris stack hello/prod",
    network: "projects/host-project/global/networks/shared",
    direction: "INGRESS",
    priority: 1001,
    denies: [{ protocol: "all" }],
    sourceRanges: ["0.0.0.0/0"],
    targetTags: ["hello-prod-x7k2"],
  });
});

test("a private machine gets a way out, where the plan has one", () => {
  assert.deepEqual(resourcesOf(own, "compute/routerNat:RouterNat"), []);
  assert.deepEqual(resourceNamed(withNat, "network-router").inputs, {
    name: "hello-prod-router-x7k2",
    region: "europe-west4",
    network: "projects/hello-project/global/networks/hello-prod-net-x7k2",
  });
  assert.deepEqual(resourceNamed(withNat, "network-nat").inputs, {
    name: "hello-prod-nat-x7k2",
    region: "europe-west4",
    router: "hello-prod-router-x7k2",
    natIpAllocateOption: "AUTO_ONLY",
    sourceSubnetworkIpRangesToNat: "ALL_SUBNETWORKS_ALL_IP_RANGES",
    logConfig: { enable: false, filter: "ALL" },
  });
});

const MEMBER = "serviceAccount:hello-prod-vm-x7k2@hello-project.iam.gserviceaccount.com";

test("the machine's account may ask for attestation and pull the stack's images, and no more", () => {
  assert.deepEqual(resourceNamed(own, "identity").inputs, {
    accountId: "hello-prod-vm-x7k2",
    description: "Polaris stack hello/prod",
  });
  assert.deepEqual(grantsOf(own), [
    { project: "hello-project", role: "roles/confidentialcomputing.workloadUser", member: MEMBER },
    {
      project: "hello-project",
      location: "europe-west4",
      repository: "hello-prod-x7k2",
      role: "roles/artifactregistry.reader",
      member: MEMBER,
    },
  ]);
});

test("it may write logs only where logs are on", () => {
  const roles = grantsOf(withLogs).map(({ role }) => String(role));
  assert.deepEqual(roles.sort(), [
    "roles/artifactregistry.reader",
    "roles/confidentialcomputing.workloadUser",
    "roles/logging.logWriter",
  ]);
});

test("an account and a repository of the user's are used as they are", () => {
  assert.deepEqual(resourcesOf(existing, "serviceaccount/account:Account"), []);
  assert.deepEqual(resourcesOf(existing, "artifactregistry/repository:Repository"), []);
  const member = "serviceAccount:vm@other-project.iam.gserviceaccount.com";
  assert.deepEqual(grantsOf(existing), [
    { project: "hello-project", role: "roles/confidentialcomputing.workloadUser", member },
    {
      project: "image-project",
      location: "europe",
      repository: "team-images",
      role: "roles/artifactregistry.reader",
      member,
    },
  ]);
});

test("the images' repository holds Docker images in the machine's region", () => {
  assert.deepEqual(resourceNamed(own, "images").inputs, {
    repositoryId: "hello-prod-x7k2",
    location: "europe-west4",
    format: "DOCKER",
    mode: "STANDARD_REPOSITORY",
    description: "Polaris stack hello/prod",
    labels: { "polaris-stack": "hello-prod" },
  });
});

test("a new account takes 11 s, and only its own grants wait for it", () => {
  const waiting = Object.keys(inventoryOf(withNat)).filter((name) =>
    waitingChain(withNat, name).has("identity"),
  );
  assert.deepEqual(waiting.sort(), ["identity-attestation", "images-reader"]);
});

test("each resource waits for its own API and for what it stands on", () => {
  const waits = Object.keys(inventoryOf(withNat))
    .filter((name) => !name.startsWith("services-"))
    .map((name) => [name, resourceNamed(withNat, name).waitsFor]);
  assert.deepEqual(Object.fromEntries(waits), {
    network: ["services-compute"],
    "network-subnet": ["network"],
    "network-router": ["network"],
    "network-nat": ["network-router"],
    "network-allow-proxy": ["network", "services-compute"],
    identity: ["services-iam"],
    "identity-attestation": ["identity", "services-cloudresourcemanager"],
    images: ["services-artifactregistry"],
    "images-reader": ["identity", "images"],
  });
});

test("the outputs are those of the schema", () => {
  assert.deepEqual(parseBaseOutputs(own.outputs), {
    network: "projects/hello-project/global/networks/hello-prod-net-x7k2",
    subnetwork: "projects/hello-project/regions/europe-west4/subnetworks/hello-prod-subnet-x7k2",
    serviceAccountEmail: "hello-prod-vm-x7k2@hello-project.iam.gserviceaccount.com",
    repository: "projects/hello-project/locations/europe-west4/repositories/hello-prod-x7k2",
  });
  assert.deepEqual(parseBaseOutputs(existing.outputs), {
    network: "projects/host-project/global/networks/shared",
    subnetwork: "projects/host-project/regions/europe-west4/subnetworks/shared-west4",
    serviceAccountEmail: "vm@other-project.iam.gserviceaccount.com",
    repository: "projects/image-project/locations/europe/repositories/team-images",
  });
});

test("the real provider's schema has nothing against the inputs", { skip: NO_SCHEMA }, () => {
  for (const program of [own, existing, withNat, withLogs]) assert.deepEqual(findFaults(program), []);
});

function grantsOf({ resources }: RecordedProgram): readonly Readonly<Record<string, unknown>>[] {
  return resources.filter(({ type }) => /iam_?member/i.test(type)).map(({ inputs }) => inputs);
}
