import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import type { BoxOptions } from "../box.ts";
import { type Answer, type Json, PROJECT, startTestBox, type TestBox } from "../box-fixture.ts";
import type { InstanceEvent } from "../world.ts";

export const ZONE = "us-central1-a";
export const REGION = "us-central1";
export const ACCOUNT = `polaris-vm@${PROJECT}.iam.gserviceaccount.com`;
const V1 = `/compute/v1/projects/${PROJECT}`;
export const INSTANCES = `zones/${ZONE}/instances`;

/** What the provider sends for an attested machine: with nulls, empty texts, and numbers as texts. */
export function instanceBody(): Json {
  return {
    name: "polaris-vm",
    machineType: `projects/${PROJECT}/zones/${ZONE}/machineTypes/n2d-standard-2`,
    minCpuPlatform: "AMD Milan",
    canIpForward: false,
    deletionProtection: false,
    params: {},
    confidentialInstanceConfig: { confidentialInstanceType: "SEV_SNP", enableConfidentialCompute: true },
    shieldedInstanceConfig: { enableIntegrityMonitoring: true, enableSecureBoot: true, enableVtpm: true },
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
          diskType: `projects/${PROJECT}/zones/${ZONE}/diskTypes/pd-balanced`,
          sourceImage: "projects/cos-cloud/global/images/cos-stable-125-19216-104-126",
        },
      },
    ],
    networkInterfaces: [
      {
        subnetwork: `projects/${PROJECT}/regions/${REGION}/subnetworks/polaris-sub`,
        nicType: "GVNIC",
        accessConfigs: [{ type: "ONE_TO_ONE_NAT" }],
      },
    ],
    serviceAccounts: [{ email: ACCOUNT, scopes: ["https://www.googleapis.com/auth/cloud-platform"] }],
    tags: { items: ["https", "polaris"] },
    labels: { app: "polaris" },
    metadata: { items: [{ key: "user-data", value: "#cloud-config\n" }] },
  };
}

export interface ComputeBox extends TestBox {
  readonly events: InstanceEvent[];
  /** A call below the project; gives the answer as it is. */
  send(method: string, path: string, json?: unknown): Promise<Answer>;
  /** A call that must go well, and whose operation must end well; gives the operation. */
  run(method: string, path: string, json?: unknown): Promise<Json>;
  get(path: string): Promise<Json>;
}

/** A box with Compute Engine enabled, a service account, and a network with one subnetwork. */
export async function startComputeBox(t: TestContext, options: BoxOptions = {}): Promise<ComputeBox> {
  const box = await startTestBox(t, {
    enabledServices: ["compute.googleapis.com", "iam.googleapis.com"],
    ...options,
  });
  const events: InstanceEvent[] = [];
  box.world.onInstance((event) => events.push(event));
  const send: ComputeBox["send"] = (method, path, json) =>
    box.call("compute", method, `${V1}/${path}`, json === undefined ? {} : { json });
  const run: ComputeBox["run"] = async (method, path, json) => {
    const answer = await send(method, path, json);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    const operation = await finish(box, answer.body);
    assert.equal(operation.error, undefined, JSON.stringify(operation.error));
    return operation;
  };
  const get: ComputeBox["get"] = async (path) => {
    const answer = await send("GET", path);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return answer.body;
  };
  await box.make("iam", "POST", `/v1/projects/${PROJECT}/serviceAccounts`, { accountId: "polaris-vm" });
  await run("POST", "global/networks", { name: "polaris-net", autoCreateSubnetworks: false });
  await run("POST", `regions/${REGION}/subnetworks`, {
    name: "polaris-sub",
    network: `projects/${PROJECT}/global/networks/polaris-net`,
    region: `projects/${PROJECT}/global/regions/${REGION}`,
    ipCidrRange: "10.8.0.0/24",
    privateIpGoogleAccess: true,
    logConfig: { enable: false },
  });
  return { ...box, faults: box.faults, events, send, run, get };
}

/** Polls an operation of compute as clients do: by its scope and its name. */
export async function finish(box: TestBox, operation: Json): Promise<Json> {
  const place =
    operation.zone === undefined
      ? operation.region === undefined
        ? "global"
        : `regions/${operation.region.split("/").at(-1)}`
      : `zones/${operation.zone.split("/").at(-1)}`;
  let latest = operation;
  for (let polls = 0; latest.status !== "DONE"; polls += 1) {
    assert.ok(polls < 10, "the operation does not end");
    const answer = await box.call("compute", "GET", `${V1}/${place}/operations/${operation.name}`);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    latest = answer.body;
  }
  return latest;
}
