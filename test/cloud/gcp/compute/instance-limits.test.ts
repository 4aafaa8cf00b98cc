import assert from "node:assert/strict";
import { test } from "node:test";
import { DISCOVERY_MISSING, type Json, PROJECT } from "../box-fixture.ts";
import {
  ACCOUNT,
  finish,
  instanceBody,
  INSTANCES,
  REGION,
  startComputeBox,
  ZONE,
} from "./compute-fixture.ts";

const MACHINES = `projects/${PROJECT}/zones/${ZONE}/machineTypes`;

test("quota and room are known when the operation ends", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startComputeBox(t);
  box.world.project(PROJECT).quotas.set(`${REGION}/N2D_CPUS`, 0);
  const overQuota = await finish(box, (await box.send("POST", INSTANCES, instanceBody())).body);
  assert.deepEqual(overQuota.error.errors, [
    {
      code: "QUOTA_EXCEEDED",
      message: "Quota 'N2D_CPUS' exceeded.  Limit: 0.0 in region us-central1.",
      errorDetails: [
        {
          quotaInfo: {
            metricName: "compute.googleapis.com/n2d_cpus",
            limitName: "N2D-CPUS-per-project-region",
            dimensions: { region: REGION },
            limit: 0,
          },
        },
      ],
    },
  ]);
  assert.equal(overQuota.httpErrorStatusCode, 403);
  assert.equal((await box.send("GET", `${INSTANCES}/polaris-vm`)).status, 404);

  box.world.project(PROJECT).quotas.delete(`${REGION}/N2D_CPUS`);
  box.world.exhaustedZones.add(ZONE);
  const noRoom = await finish(box, (await box.send("POST", INSTANCES, instanceBody())).body);
  const [error] = noRoom.error.errors;
  assert.equal(error.code, "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS");
  assert.match(error.message, /does not have enough resources available to fulfill the request/);
  assert.deepEqual(
    error.errorDetails[0].help.links[0].url,
    "https://cloud.google.com/compute/docs/resource-error",
  );
  assert.match(
    error.errorDetails[1].localizedMessage.message,
    /n2d-standard-2 VM instance is currently unavailable/,
  );
  assert.equal(error.errorDetails[2].errorInfo.metadatas.zonesAvailable, "us-central1-b,us-central1-c");

  box.world.exhaustedZones.clear();
  await box.run("POST", INSTANCES, instanceBody());
  const region = await box.get(`regions/${REGION}`);
  assert.deepEqual(
    region.quotas.find(({ metric }: { readonly metric: string }) => metric === "N2D_CPUS"),
    { metric: "N2D_CPUS", limit: 24, usage: 2 },
  );
});

test(
  "an account that does not exist fails the operation, and a stranger may not use one",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const box = await startComputeBox(t);
    const body = instanceBody();
    body.serviceAccounts[0].email = `nobody@${PROJECT}.iam.gserviceaccount.com`;
    const operation = await finish(box, (await box.send("POST", INSTANCES, body)).body);
    assert.equal(operation.error.errors[0].code, "RESOURCE_NOT_FOUND");

    const token = box.tokenOf("user:builder@example.com");
    const insert = (): Promise<Json> =>
      box.call("compute", "POST", `/compute/v1/projects/${PROJECT}/${INSTANCES}`, {
        token,
        json: instanceBody(),
      });
    const stranger = await insert();
    assert.equal(stranger.status, 403);
    assert.equal(
      stranger.body.error.message,
      `Required 'compute.instances.create' permission for 'projects/${PROJECT}/${INSTANCES}/polaris-vm'`,
    );
    box.world.policies.grant(`projects/${PROJECT}`, "roles/compute.admin", "user:builder@example.com");
    const builder = await insert();
    assert.equal(builder.status, 403);
    assert.match(
      builder.body.error.message,
      /does not have access to service account 'polaris-vm@.*'.  User: 'builder@example.com'/,
    );
    box.world.policies.grant(
      `projects/${PROJECT}/serviceAccounts/${ACCOUNT}`,
      "roles/iam.serviceAccountUser",
      "user:builder@example.com",
    );
    assert.equal((await insert()).status, 200);
  },
);

test("what a running machine cannot have changed is refused", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startComputeBox(t);
  await box.run("POST", INSTANCES, instanceBody());
  const vm = `${INSTANCES}/polaris-vm`;
  const refused = async (
    method: string,
    path: string,
    json: unknown,
    status: number,
    message: RegExp,
  ): Promise<void> => {
    const answer = await box.send(method, path, json);
    assert.equal(answer.status, status, JSON.stringify(answer.body));
    assert.match(answer.body.error.message, message);
  };
  const four = { machineType: `${MACHINES}/n2d-standard-4` };
  await refused("POST", `${vm}/setMachineType`, four, 400, /must be stopped/);
  await refused(
    "PATCH",
    `${vm}/updateShieldedInstanceConfig`,
    { enableSecureBoot: false },
    400,
    /must be stopped/,
  );
  await refused("POST", `${vm}/setServiceAccount`, { email: ACCOUNT, scopes: ["x"] }, 400, /must be stopped/);
  await refused(
    "POST",
    `${vm}/setMetadata`,
    { items: [] },
    412,
    /does not match current metadata fingerprint/,
  );
  await refused("POST", `${vm}/setTags`, { items: [], fingerprint: "AAAAAAAAAAA=" }, 412, /tags fingerprint/);
  await refused("POST", `${vm}/setLabels`, { labels: {} }, 412, /labels fingerprint/);
  await refused("POST", `${vm}/setScheduling`, { onHostMaintenance: "MIGRATE" }, 400, /TERMINATE/);
  await refused("POST", `zones/${ZONE}/disks/polaris-vm/resize`, { sizeGb: "10" }, 400, /must be larger/);
  await refused("DELETE", `zones/${ZONE}/disks/polaris-vm`, undefined, 400, /already being used/);
  await refused("POST", INSTANCES, instanceBody(), 409, /instances\/polaris-vm' already exists/);
  await box.run("POST", `${vm}/stop`);
  await refused("POST", `${vm}/reset`, undefined, 400, /must be running/);
  const small = { machineType: `${MACHINES}/e2-medium` };
  await refused("POST", `${vm}/setMachineType`, small, 400, /not available for machine type e2-medium/);
  await refused("POST", `${vm}/setMinCpuPlatform`, { minCpuPlatform: "" }, 400, /AMD Milan/);
});
