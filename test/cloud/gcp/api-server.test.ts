import assert from "node:assert/strict";
import { test } from "node:test";
import { FIRST_SERVICES, startBox } from "./box.ts";
import { GoogleError } from "./google-error.ts";
import { DISCOVERY_MISSING, PROJECT, NUMBER, startTestBox } from "./box-fixture.ts";

const ZONES = `/compute/v1/projects/${PROJECT}/zones`;

test("nobody is answered without a token that somebody issued", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startTestBox(t, { enabledServices: ["compute.googleapis.com"] });
  const missing = await box.call("compute", "GET", ZONES, { token: null });
  assert.deepEqual([missing.status, missing.body.error.status], [401, "UNAUTHENTICATED"]);
  const unknown = await box.call("compute", "GET", ZONES, { token: "ya29.guess" });
  assert.deepEqual([unknown.status, unknown.body.error.errors[0].reason], [401, "authError"]);
  assert.equal((await box.call("compute", "GET", ZONES)).status, 200);
  assert.deepEqual(
    box.world.requests.map(({ methodId, member, status }) => [methodId, member, status]),
    [
      ["compute.zones.list", "allUsers", 401],
      ["compute.zones.list", "allUsers", 401],
      ["compute.zones.list", "user:owner@example.com", 200],
    ],
  );
});

test(
  "an API that is not enabled, or not paid for, says so in Google's words",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const box = await startTestBox(t, { enabledServices: FIRST_SERVICES });
    const disabled = await box.call("compute", "GET", ZONES);
    assert.equal(disabled.status, 403);
    assert.match(
      disabled.body.error.message,
      /^Compute Engine API has not been used in project 123456789012 before/,
    );
    assert.equal(disabled.body.error.errors[0].reason, "accessNotConfigured");
    const [info] = disabled.body.error.details;
    assert.equal(info.reason, "SERVICE_DISABLED");
    assert.equal(info.domain, "googleapis.com");
    assert.equal(info.metadata.service, "compute.googleapis.com");
    assert.equal(info.metadata.consumer, `projects/${NUMBER}`);

    const project = box.world.project(PROJECT);
    project.enabledServices.add("compute.googleapis.com");
    project.billingAccount = "";
    const unpaid = await box.call("compute", "GET", ZONES);
    assert.equal(unpaid.status, 403);
    assert.equal(unpaid.body.error.details[0].reason, "BILLING_DISABLED");
  },
);

test(
  "requests that the document does not allow are refused before anything happens",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const box = await startTestBox(t, {
      enabledServices: ["compute.googleapis.com", "serviceusage.googleapis.com"],
    });
    const refused = async (
      [api, method, path]: readonly [string, string, string],
      json: unknown,
      status: number,
      message: RegExp,
    ): Promise<void> => {
      const answer = await box.call(api, method, path, json === undefined ? {} : { json });
      assert.equal(answer.status, status, JSON.stringify(answer.body));
      assert.match(answer.body.error.message, message);
    };
    const networks = `/compute/v1/projects/${PROJECT}/global/networks`;
    const enable = `/v1/projects/${PROJECT}/services:batchEnable`;
    await refused(
      ["compute", "GET", "/compute/v2/projects/p/zones"],
      undefined,
      404,
      /not found on this server/,
    );
    await refused(["compute", "PUT", ZONES], undefined, 404, /not found on this server/);
    await refused(
      ["compute", "GET", `${ZONES}?zone=x`],
      undefined,
      400,
      /Unknown name "zone": Cannot bind query parameter/,
    );
    await refused(["compute", "GET", `${ZONES}?maxResults=many`], undefined, 400, /TYPE_UINT32/);
    await refused(["compute", "GET", `${ZONES}?fields=items(`], undefined, 400, /Invalid field mask/);
    await refused(
      ["compute", "GET", `${ZONES}?constructor=x`],
      undefined,
      400,
      /Cannot bind query parameter/,
    );
    await refused(["compute", "POST", networks], { nam: "x" }, 400, /Unknown name "nam": Cannot find field/);
    await refused(["compute", "POST", networks], { mtu: "wide" }, 400, /'mtu' \(TYPE_INT32\), "wide"/);
    await refused(["compute", "POST", networks], { routingConfig: [] }, 400, /'routingConfig'/);
    await refused(["compute", "POST", networks], ["x"], 400, /TYPE_MESSAGE/);
    await refused(["serviceusage", "POST", enable], { serviceIds: "compute" }, 400, /'serviceIds' \(list\)/);
    await refused(
      ["compute", "GET", "/compute/v1/projects/other/zones"],
      undefined,
      404,
      /'projects\/other' was not found/,
    );
    const broken = await fetch(`${box.endpoints["compute"]}${networks}`, {
      method: "POST",
      headers: { authorization: `Bearer ${box.accessToken}` },
      body: "{",
    });
    assert.equal(broken.status, 400);
    assert.match(await broken.text(), /Invalid JSON payload received/);
  },
);

test("calls fail as often as a test says, and then not any more", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startTestBox(t, { enabledServices: ["compute.googleapis.com"] });
  box.world.failNext(
    "compute.zones.list",
    new GoogleError("UNAVAILABLE", "The service is currently unavailable."),
    2,
  );
  box.world.failNext("compute.zones.list", new GoogleError("RESOURCE_EXHAUSTED", "Quota exceeded."));
  const statuses: number[] = [];
  for (let index = 0; index < 4; index += 1) statuses.push((await box.call("compute", "GET", ZONES)).status);
  assert.deepEqual(statuses, [503, 503, 429, 200]);
});

test(
  "the box tells when it does not keep to the documents itself",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const box = await startBox({ enabledServices: ["compute.googleapis.com"] });
    t.after(() => box.stop());
    const { pathname } = new URL(
      `/compute/v1/projects/${box.project}/global/snapshots`,
      box.endpoints["compute"],
    );
    const response = await fetch(`${box.endpoints["compute"]}${pathname}`, {
      headers: { authorization: `Bearer ${box.accessToken}` },
    });
    assert.equal(response.status, 501);
    assert.deepEqual(box.faults, ["compute.snapshots.list was called, and the box does not have it"]);
  },
);

test("parts of an answer are given as the fields parameter says", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startTestBox(t, { enabledServices: FIRST_SERVICES });
  const { body } = await box.call(
    "serviceusage",
    "GET",
    `/v1/projects/${PROJECT}/services?fields=services/name,nextPageToken&filter=state:ENABLED&pageSize=2&prettyPrint=false`,
  );
  assert.deepEqual(body, {
    services: ["cloudbilling", "cloudresourcemanager"].map((name) => ({
      name: `projects/${NUMBER}/services/${name}.googleapis.com`,
    })),
    nextPageToken: "2",
  });
});
