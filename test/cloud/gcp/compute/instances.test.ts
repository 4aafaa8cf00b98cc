import assert from "node:assert/strict";
import { test } from "node:test";
import { DISCOVERY_MISSING, PROJECT } from "../box-fixture.ts";
import {
  ACCOUNT,
  finish,
  instanceBody,
  INSTANCES,
  REGION,
  startComputeBox,
  ZONE,
} from "./compute-fixture.ts";

const VM = `${INSTANCES}/polaris-vm`;
const LINK = "https://www.googleapis.com/compute/v1/";

test(
  "an attested machine comes back with all that a client compares",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const box = await startComputeBox(t);
    const operation = await box.run("POST", INSTANCES, instanceBody());
    assert.equal(operation.operationType, "insert");
    assert.equal(operation.zone, `${LINK}projects/${PROJECT}/zones/${ZONE}`);
    assert.equal(operation.user, "owner@example.com");

    const { body: vm } = await box.call(
      "compute",
      "GET",
      `/compute/beta/projects/${PROJECT}/${VM}?view=FULL&alt=json`,
    );
    assert.equal(vm.status, "RUNNING");
    assert.equal(typeof vm.id, "string");
    assert.equal(vm.zone, `${LINK}projects/${PROJECT}/zones/${ZONE}`);
    assert.equal(vm.machineType, `${LINK}projects/${PROJECT}/zones/${ZONE}/machineTypes/n2d-standard-2`);
    assert.equal(vm.minCpuPlatform, "AMD Milan");
    assert.equal(vm.cpuPlatform, "AMD Milan");
    assert.deepEqual(vm.labels, { app: "polaris" });
    assert.deepEqual(vm.tags.items, ["https", "polaris"]);
    assert.deepEqual(vm.metadata.items, [{ key: "user-data", value: "#cloud-config\n" }]);
    assert.deepEqual(vm.confidentialInstanceConfig, {
      enableConfidentialCompute: true,
      confidentialInstanceType: "SEV_SNP",
    });
    assert.deepEqual(vm.shieldedInstanceConfig, {
      enableSecureBoot: true,
      enableVtpm: true,
      enableIntegrityMonitoring: true,
    });
    assert.deepEqual(vm.scheduling, {
      onHostMaintenance: "TERMINATE",
      automaticRestart: true,
      preemptible: false,
      provisioningModel: "STANDARD",
      skipGuestOsShutdown: false,
    });
    const [nic] = vm.networkInterfaces;
    assert.equal(nic.network, `${LINK}projects/${PROJECT}/global/networks/polaris-net`);
    assert.equal(nic.nicType, "GVNIC");
    assert.equal(nic.networkIP, "10.8.0.2");
    assert.match(nic.accessConfigs[0].natIP, /^203\.0\.113\.\d+$/);
    const [attached] = vm.disks;
    assert.deepEqual([attached.mode, attached.boot, attached.autoDelete], ["READ_WRITE", true, true]);
    assert.equal(attached.source, `${LINK}projects/${PROJECT}/zones/${ZONE}/disks/polaris-vm`);

    const disk = await box.get(`zones/${ZONE}/disks/polaris-vm`);
    assert.equal(disk.sizeGb, "20");
    assert.equal(disk.type, `${LINK}projects/${PROJECT}/zones/${ZONE}/diskTypes/pd-balanced`);
    assert.equal(disk.sourceImage, `${LINK}projects/cos-cloud/global/images/cos-stable-125-19216-104-126`);

    assert.deepEqual(
      (await box.get(`${INSTANCES}?view=FULL`.replace("?view=FULL", "/polaris-vm?view=FULL"))).id,
      vm.id,
      "version 1 takes a view too",
    );
    assert.deepEqual(box.events, [
      {
        kind: "created",
        projectId: PROJECT,
        zone: ZONE,
        name: "polaris-vm",
        instanceId: vm.id,
        serviceAccount: ACCOUNT,
        metadata: { "user-data": "#cloud-config\n" },
        externalAddress: nic.accessConfigs[0].natIP,
        confidentialInstanceType: "SEV_SNP",
        secureBoot: true,
      },
    ]);
  },
);

test("an operation is done when it was polled, not before", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startComputeBox(t, { pace: { polls: 2, maxMs: 5000 } });
  const { body: operation } = await box.send("POST", INSTANCES, instanceBody());
  assert.equal(operation.status, "PENDING");
  assert.equal((await box.get(VM)).status, "PROVISIONING");
  const path = `zones/${ZONE}/operations/${operation.name}`;
  assert.equal((await box.get(path)).status, "RUNNING");
  assert.deepEqual(box.events, []);
  assert.equal((await box.get(path)).status, "DONE");
  assert.equal((await box.get(VM)).status, "RUNNING");
  assert.equal((await box.send("GET", `global/operations/${operation.name}`)).status, 404);

  const { body: address } = await box.send("POST", `regions/${REGION}/addresses`, { name: "later" });
  assert.equal((await box.send("GET", `regions/${REGION}/addresses/later`)).status, 404);
  box.clock.nowMs += 5000;
  assert.equal((await box.get(`regions/${REGION}/addresses/later`)).status, "RESERVED");
  assert.equal((await box.get(`regions/${REGION}/operations/${address.name}`)).status, "DONE");
  assert.equal(
    (
      await box.call(
        "compute",
        "POST",
        `/compute/v1/projects/${PROJECT}/regions/${REGION}/operations/${address.name}/wait`,
      )
    ).body.status,
    "DONE",
  );
});

test("a machine is stopped, changed, started, reset and deleted", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startComputeBox(t);
  await box.run("POST", INSTANCES, instanceBody());
  const before = await box.get(VM);

  await box.run("POST", `${VM}/setMetadata`, {
    fingerprint: before.metadata.fingerprint,
    items: [{ key: "user-data", value: "#cloud-config\nnew: true\n" }],
  });
  await box.run("POST", `${VM}/setTags`, { fingerprint: before.tags.fingerprint, items: ["https"] });
  await box.run("POST", `${VM}/setLabels`, {
    labelFingerprint: before.labelFingerprint,
    labels: { app: "two" },
  });
  await box.run("POST", `${VM}/stop`);
  const stopped = await box.get(VM);
  assert.equal(stopped.status, "TERMINATED");
  assert.equal(
    stopped.networkInterfaces[0].accessConfigs[0].natIP,
    undefined,
    "an ephemeral address is given back",
  );
  await box.run("POST", `${VM}/setMachineType`, {
    machineType: `projects/${PROJECT}/zones/${ZONE}/machineTypes/n2d-standard-4`,
  });
  await box.run("PATCH", `${VM}/updateShieldedInstanceConfig`, { enableSecureBoot: false });
  await box.run("POST", "global/networks", { name: "other", autoCreateSubnetworks: true });
  const move = `${VM}/updateNetworkInterface?networkInterface=nic0`;
  const network = `projects/${PROJECT}/global/networks/other`;
  assert.equal((await box.send("PATCH", move, { network })).status, 412, "a fingerprint is needed");
  await box.run("PATCH", move, { network, fingerprint: stopped.networkInterfaces[0].fingerprint });
  await box.run("POST", `${VM}/start`, {});
  assert.equal((await box.get(VM)).networkInterfaces[0].network, LINK + network);
  await box.run("POST", `${VM}/reset`);
  await box.run("POST", `${VM}/setScheduling`, { automaticRestart: false, onHostMaintenance: "TERMINATE" });
  await box.run("POST", `${VM}/setDiskAutoDelete?autoDelete=false&deviceName=persistent-disk-0`);
  await box.run("POST", `zones/${ZONE}/disks/polaris-vm/resize`, { sizeGb: 30 });
  await box.run("POST", `${VM}/deleteAccessConfig?accessConfig=external-nat&networkInterface=nic0`);
  await box.run("POST", `${VM}/setSecurityPolicy`, { networkInterfaces: ["nic0"] });
  await box.run("PUT", VM, { ...(await box.get(VM)), description: "third" });

  const after = await box.get(VM);
  assert.equal(after.id, before.id);
  assert.equal(after.metadata.items[0].value, "#cloud-config\nnew: true\n");
  assert.deepEqual(after.tags.items, ["https"]);
  assert.deepEqual(after.labels, { app: "two" });
  assert.match(after.machineType, /n2d-standard-4$/);
  assert.equal(after.shieldedInstanceConfig.enableSecureBoot, false);
  assert.equal(after.scheduling.automaticRestart, false);
  assert.equal(after.networkInterfaces[0].accessConfigs, undefined);
  assert.equal(after.description, "third");
  assert.equal((await box.get(`zones/${ZONE}/disks/polaris-vm`)).sizeGb, "30");

  await box.run("POST", `${VM}/setDeletionProtection?deletionProtection=true`);
  const refused = await box.send("DELETE", VM);
  assert.equal(refused.status, 400);
  assert.match(refused.body.error.message, /protected against deletion/);
  await box.run("POST", `${VM}/setDeletionProtection?deletionProtection=false`);
  await box.run("DELETE", VM);
  assert.equal((await box.send("GET", VM)).status, 404);
  assert.equal((await box.send("DELETE", VM)).status, 404);
  assert.equal((await box.get(`zones/${ZONE}/disks/polaris-vm`)).users, undefined, "the disk is kept");
  await box.run("DELETE", `zones/${ZONE}/disks/polaris-vm`);
  assert.deepEqual(
    box.events.map(({ kind }) => kind),
    ["created", "metadata", "stopped", "started", "reset", "deleted"],
  );
});

test("a reserved address stays with its machine", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startComputeBox(t);
  await box.run("POST", `regions/${REGION}/addresses`, {
    name: "front",
    addressType: "EXTERNAL",
    region: "ignored",
  });
  const { address, labelFingerprint } = await box.get(`regions/${REGION}/addresses/front`);
  await box.run("POST", `regions/${REGION}/addresses/front/setLabels`, {
    labelFingerprint,
    labels: { a: "b" },
  });
  const body = instanceBody();
  body.networkInterfaces[0].accessConfigs = [{ natIP: address, type: "ONE_TO_ONE_NAT" }];
  await box.run("POST", INSTANCES, body);
  assert.equal((await box.get(`regions/${REGION}/addresses/front`)).status, "IN_USE");

  const second = { ...body, name: "second" };
  const taken = await box.send("POST", INSTANCES, second);
  assert.match(taken.body.error.message, /is already in-use/);
  const used = await box.send("DELETE", `regions/${REGION}/addresses/front`);
  assert.equal(used.body.error.errors[0].reason, "resourceInUseByAnotherResource");

  await box.run("POST", `${VM}/stop`);
  await box.run("POST", `${VM}/start`);
  assert.equal((await box.get(VM)).networkInterfaces[0].accessConfigs[0].natIP, address);
  await box.run("DELETE", VM);
  await box.run("DELETE", `regions/${REGION}/addresses/front`);
});

test("a request that is sent twice with one id is done once", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startComputeBox(t);
  const path = `${INSTANCES}?requestId=6d3c2f0e-19d5-4a53-b2d2-7c1d3a5a9a01`;
  const first = await box.send("POST", path, instanceBody());
  const second = await box.send("POST", path, instanceBody());
  assert.equal(second.body.name, first.body.name);
  await finish(box, first.body);
  assert.equal((await box.send("POST", INSTANCES, instanceBody())).status, 409);
});
