import assert from "node:assert/strict";
import { test } from "node:test";
import { DISCOVERY_MISSING, type Json, PROJECT } from "../box-fixture.ts";
import { instanceBody, INSTANCES, REGION, startComputeBox, ZONE } from "./compute-fixture.ts";

const LINK = "https://www.googleapis.com/compute/v1/";
const NETWORK = `projects/${PROJECT}/global/networks/polaris-net`;
const SUBNETWORK = `regions/${REGION}/subnetworks/polaris-sub`;
const ROUTER = `regions/${REGION}/routers/polaris-router`;

test(
  "network resources come back as they were made, with links of Google's",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const box = await startComputeBox(t);
    const network = await box.get("global/networks/polaris-net");
    assert.equal(network.selfLink, LINK + NETWORK);
    assert.equal(network.autoCreateSubnetworks, false);
    assert.equal(network.networkFirewallPolicyEnforcementOrder, "AFTER_CLASSIC_FIREWALL");
    assert.deepEqual(network.subnetworks, [`${LINK}projects/${PROJECT}/${SUBNETWORK}`]);
    await box.run("PATCH", "global/networks/polaris-net", { routingConfig: { routingMode: "GLOBAL" } });
    assert.equal((await box.get("global/networks/polaris-net")).routingConfig.routingMode, "GLOBAL");

    const subnetwork = await box.get(SUBNETWORK);
    assert.equal(subnetwork.network, LINK + NETWORK);
    assert.equal(subnetwork.region, `${LINK}projects/${PROJECT}/regions/${REGION}`);
    assert.equal(subnetwork.privateIpGoogleAccess, true);
    await box.run("POST", `${SUBNETWORK}/setPrivateIpGoogleAccess`, {});
    assert.equal((await box.get(SUBNETWORK)).privateIpGoogleAccess, false, "false is what is left out");
    await box.run("POST", `${SUBNETWORK}/expandIpCidrRange`, { ipCidrRange: "10.8.0.0/20" });
    assert.equal((await box.get(SUBNETWORK)).ipCidrRange, "10.8.0.0/20");

    await box.run("POST", "global/firewalls", {
      name: "allow-https",
      network: NETWORK,
      direction: "INGRESS",
      priority: 1000,
      allowed: [{ IPProtocol: "tcp", ports: ["443"] }],
      sourceRanges: ["0.0.0.0/0"],
      targetTags: ["https"],
      logConfig: { enable: false },
    });
    await box.run("PATCH", "global/firewalls/allow-https", {
      allowed: [{ IPProtocol: "tcp", ports: ["443", "8000-8080"] }],
      denied: [],
      sourceTags: [],
    });
    const firewall = await box.get("global/firewalls/allow-https");
    assert.equal(firewall.network, LINK + NETWORK);
    assert.deepEqual(firewall.allowed, [{ IPProtocol: "tcp", ports: ["443", "8000-8080"] }]);
    assert.deepEqual(firewall.sourceRanges, ["0.0.0.0/0"]);
    assert.equal(firewall.denied, undefined);
    assert.match(firewall.id, /^\d{19}$/);

    await box.run("POST", `regions/${REGION}/routers`, {
      name: "polaris-router",
      network: NETWORK,
      bgp: null,
    });
    assert.equal((await box.get(ROUTER)).nats, undefined);
    await box.run("PATCH", ROUTER, {
      nats: [
        {
          name: "polaris-nat",
          natIpAllocateOption: "AUTO_ONLY",
          sourceSubnetworkIpRangesToNat: "ALL_SUBNETWORKS_ALL_IP_RANGES",
          logConfig: { enable: false },
          type: "PUBLIC",
        },
      ],
    });
    const router = await box.get(ROUTER);
    assert.equal(router.network, LINK + NETWORK);
    assert.equal(router.nats[0].name, "polaris-nat");
    await box.run("PATCH", ROUTER, { nats: [] });
    assert.equal((await box.get(ROUTER)).nats, undefined);
  },
);

test("what is in use cannot be deleted, and goes when it is not", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startComputeBox(t);
  await box.run("POST", INSTANCES, instanceBody());
  const refused = async (path: string, user: string): Promise<void> => {
    const { status, body } = await box.send("DELETE", path);
    assert.equal(status, 400);
    assert.equal(body.error.errors[0].reason, "resourceInUseByAnotherResource");
    assert.ok(
      body.error.message.endsWith(`is already being used by 'projects/${PROJECT}/${user}'`),
      body.error.message,
    );
  };
  await refused("global/networks/polaris-net", SUBNETWORK);
  await refused(SUBNETWORK, `${INSTANCES}/polaris-vm`);
  await box.run("DELETE", `${INSTANCES}/polaris-vm`);
  assert.equal((await box.send("GET", `zones/${ZONE}/disks/polaris-vm`)).status, 404);
  await box.run("DELETE", SUBNETWORK);
  await box.run("DELETE", "global/networks/polaris-net");
  const gone = await box.send("GET", "global/networks/polaris-net");
  assert.equal(gone.status, 404);
  assert.deepEqual(gone.body.error.errors, [
    { message: `The resource '${NETWORK}' was not found`, domain: "global", reason: "notFound" },
  ]);
});

test("a network in auto mode has a subnetwork in every region", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startComputeBox(t);
  await box.run("POST", "global/networks", { name: "default", autoCreateSubnetworks: true });
  assert.equal((await box.get(`regions/${REGION}/subnetworks/default`)).ipCidrRange, "10.128.0.0/20");
  const body = instanceBody();
  body.networkInterfaces = [{ network: "global/networks/default", nicType: "GVNIC" }];
  await box.run("POST", INSTANCES, body);
  await box.run("DELETE", `${INSTANCES}/polaris-vm`);
  await box.run("DELETE", "global/networks/default");
  assert.equal((await box.send("GET", `regions/${REGION}/subnetworks/default`)).status, 404);
});

const REFUSALS: readonly {
  readonly name: string;
  readonly path: string;
  readonly json: Json;
  readonly status?: number;
  readonly message: RegExp;
}[] = [
  {
    name: "a network without a mode",
    path: "global/networks",
    json: { name: "n" },
    message: /autoCreateSubnetworks/,
  },
  {
    name: "a network twice",
    path: "global/networks",
    json: { name: "polaris-net", autoCreateSubnetworks: false },
    status: 409,
    message: /networks\/polaris-net' already exists/,
  },
  {
    name: "a network in upper case",
    path: "global/networks",
    json: { name: "N", autoCreateSubnetworks: false },
    message: /resource\.name/,
  },
  {
    name: "a subnetwork with host bits",
    path: `regions/${REGION}/subnetworks`,
    json: { name: "s", network: NETWORK, ipCidrRange: "10.9.0.1/24" },
    message: /ipCidrRange/,
  },
  {
    name: "a subnetwork over another one",
    path: `regions/${REGION}/subnetworks`,
    json: { name: "s", network: NETWORK, ipCidrRange: "10.8.0.128/25" },
    message: /conflicts with existing subnetwork 'polaris-sub' in region 'us-central1'/,
  },
  {
    name: "a subnetwork of no network",
    path: `regions/${REGION}/subnetworks`,
    json: { name: "s", network: "global/networks/none", ipCidrRange: "10.9.0.0/24" },
    message: /network resource cannot be found/,
  },
  {
    name: "a subnetwork in a region that is none",
    path: "regions/moon-1/subnetworks",
    json: { name: "s", network: NETWORK, ipCidrRange: "10.9.0.0/24" },
    message: /Unknown region/,
  },
  {
    name: "a firewall with a short range",
    path: "global/firewalls",
    json: { name: "f", network: NETWORK, allowed: [{ IPProtocol: "tcp" }], sourceRanges: ["10.0.0/8"] },
    message: /sourceRanges\[0\]/,
  },
  {
    name: "a firewall with port 99999",
    path: "global/firewalls",
    json: { name: "f", network: NETWORK, allowed: [{ IPProtocol: "tcp", ports: ["99999"] }] },
    message: /ports\[0\].*99999/,
  },
  {
    name: "a firewall that allows and denies",
    path: "global/firewalls",
    json: { name: "f", network: NETWORK, allowed: [{ IPProtocol: "tcp" }], denied: [{ IPProtocol: "udp" }] },
    message: /Only one of allowed and denied/,
  },
  {
    name: "a firewall without a rule",
    path: "global/firewalls",
    json: { name: "f", network: NETWORK },
    message: /resource\.allowed/,
  },
  {
    name: "a firewall with an unknown protocol",
    path: "global/firewalls",
    json: { name: "f", network: NETWORK, allowed: [{ IPProtocol: "quic" }] },
    message: /Unknown protocol/,
  },
  {
    name: "an address of an unknown type",
    path: `regions/${REGION}/addresses`,
    json: { name: "a", addressType: "PUBLIC" },
    message: /TYPE_ENUM/,
  },
  {
    name: "a NAT without its way to addresses",
    path: `regions/${REGION}/routers`,
    json: {
      name: "r",
      network: NETWORK,
      nats: [{ name: "nat", sourceSubnetworkIpRangesToNat: "ALL_SUBNETWORKS_ALL_IP_RANGES" }],
    },
    message: /natIpAllocateOption/,
  },
];

test("network resources that Google would refuse are refused", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startComputeBox(t);
  for (const { name, path, json, status, message } of REFUSALS) {
    await t.test(name, async () => {
      const answer = await box.send("POST", path, json);
      assert.equal(answer.status, status ?? 400, JSON.stringify(answer.body));
      assert.match(answer.body.error.message, message);
    });
  }
  const narrower = await box.send("POST", `${SUBNETWORK}/expandIpCidrRange`, { ipCidrRange: "10.8.0.0/25" });
  assert.match(narrower.body.error.message, /must contain the current one/);
});

test(
  "places, machine types and images are what preflight asks for",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const box = await startComputeBox(t);
    const zone = await box.get(`zones/${ZONE}`);
    assert.equal(zone.status, "UP");
    assert.ok(zone.availableCpuPlatforms.includes("AMD Milan"));
    assert.ok(!(await box.get("zones/us-east1-b")).availableCpuPlatforms.includes("AMD Milan"));
    assert.equal((await box.send("GET", "zones/moon-1-a")).status, 404);
    assert.ok(
      (await box.get("regions")).items.some(({ name }: { readonly name: string }) => name === REGION),
    );
    const page = await box.get("zones?maxResults=3");
    assert.equal(page.items.length, 3);
    assert.equal((await box.get(`zones?maxResults=3&pageToken=${page.nextPageToken}`)).items.length, 3);
    assert.deepEqual(await box.get("zones?filter=name%20%3D%20europe-west4-a&fields=items(name)"), {
      items: [{ name: "europe-west4-a" }],
    });
    assert.equal((await box.get(`zones/${ZONE}/machineTypes/n2d-standard-2`)).guestCpus, 2);
    assert.equal((await box.send("GET", "zones/us-east1-b/machineTypes/n2d-standard-2")).status, 404);
    const project = await box.call("compute", "GET", `/compute/v1/projects/${PROJECT}`);
    assert.equal(project.body.quotas[0].metric, "CPUS_ALL_REGIONS");

    const image = await box.call(
      "compute",
      "GET",
      "/compute/v1/projects/cos-cloud/global/images/family/cos-stable",
    );
    assert.equal(image.body.name, "cos-stable-125-19216-104-126", "a deprecated image is not the family's");
    const features = image.body.guestOsFeatures.map(({ type }: { readonly type: string }) => type);
    for (const needed of ["SEV_SNP_CAPABLE", "GVNIC", "UEFI_COMPATIBLE"])
      assert.ok(features.includes(needed), needed);
    const missing = await box.call(
      "compute",
      "GET",
      "/compute/v1/projects/cos-cloud/global/images/cos-stable",
    );
    assert.equal(missing.status, 404);
  },
);
