import assert from "node:assert/strict";
import { test } from "node:test";
import type { CloudAccess } from "./part-inputs.ts";
import { createProvider } from "./provider.ts";
import { findFaults, NO_SCHEMA } from "./testing/find-faults.ts";
import { recordProgram } from "./testing/record-program.ts";
import type { RecordedProgram, RecordedResource } from "./testing/record-program.ts";

const BOX: CloudAccess = {
  project: "hello-project",
  accessToken: "ya29.secret-token",
  origins: {
    artifactregistry: "http://127.0.0.1:4001",
    cloudbilling: "http://127.0.0.1:4002",
    cloudkms: "http://127.0.0.1:4003",
    cloudresourcemanager: "http://127.0.0.1:4004",
    compute: "http://127.0.0.1:4005",
    iam: "http://127.0.0.1:4006",
    iamcredentials: "http://127.0.0.1:4007",
    secretmanager: "http://127.0.0.1:4008",
    serviceusage: "http://127.0.0.1:4009",
  },
};

function record(access: CloudAccess): Promise<RecordedProgram> {
  return recordProgram(async () => {
    createProvider(access, { region: "europe-west4", zone: "europe-west4-a" });
    return {};
  });
}

const box = await record(BOX);
const google = await record({ project: "hello-project", accessToken: undefined, origins: undefined });

test("by itself the provider talks to Google and finds its own credentials", () => {
  assert.deepEqual(onlyResource(google).inputs, {
    project: "hello-project",
    region: "europe-west4",
    zone: "europe-west4-a",
    addPulumiAttributionLabel: "false",
    pollInterval: "1s",
  });
});

test("with origins, no API of ours is left to Google", () => {
  const { inputs } = onlyResource(box);
  const endpoints = Object.entries(inputs).filter(([name]) => name.endsWith("CustomEndpoint"));
  assert.deepEqual(Object.fromEntries(endpoints), {
    artifactRegistryCustomEndpoint: "http://127.0.0.1:4001/v1/",
    cloudBillingCustomEndpoint: "http://127.0.0.1:4002/v1/",
    cloudResourceManagerCustomEndpoint: "http://127.0.0.1:4004/v1/",
    computeCustomEndpoint: "http://127.0.0.1:4005/compute/v1/",
    iamBetaCustomEndpoint: "http://127.0.0.1:4006/v1/",
    iamCredentialsCustomEndpoint: "http://127.0.0.1:4007/v1/",
    iamCustomEndpoint: "http://127.0.0.1:4006/v1/",
    kmsCustomEndpoint: "http://127.0.0.1:4003/v1/",
    resourceManagerCustomEndpoint: "http://127.0.0.1:4004/v1/",
    resourceManagerV3CustomEndpoint: "http://127.0.0.1:4004/v3/",
    secretManagerCustomEndpoint: "http://127.0.0.1:4008/v1/",
    serviceUsageCustomEndpoint: "http://127.0.0.1:4009/v1/",
  });
});

test("the access token is a secret of the state", () => {
  const { inputs, secretInputs } = onlyResource(box);
  assert.equal(inputs["accessToken"], "ya29.secret-token");
  assert.deepEqual(secretInputs, ["accessToken"]);
});

test("the real provider knows all of its arguments", { skip: NO_SCHEMA }, () => {
  assert.deepEqual(findFaults(box), []);
  assert.deepEqual(findFaults(google), []);
});

function onlyResource({ resources }: RecordedProgram): RecordedResource {
  const [provider] = resources;
  assert.ok(provider !== undefined && resources.length === 1, `${resources.length} resources`);
  return provider;
}
