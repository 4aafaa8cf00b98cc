import assert from "node:assert/strict";
import { test } from "node:test";
import { FIRST_SERVICES } from "./box.ts";
import { DISCOVERY_MISSING, NUMBER, PROJECT, startTestBox } from "./box-fixture.ts";

const first = { enabledServices: FIRST_SERVICES };

test("services are enabled by an operation that must be polled", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startTestBox(t, { ...first, pace: { polls: 2, maxMs: 60_000 } });
  const started = await box.call("serviceusage", "POST", `/v1/projects/${PROJECT}/services:batchEnable`, {
    json: { serviceIds: ["compute.googleapis.com", "cloudkms.googleapis.com"] },
  });
  assert.equal(started.body.done, false);
  const states = async (): Promise<readonly string[]> => {
    const names = ["compute", "cloudkms"].map(
      (id) => `names=projects/${PROJECT}/services/${id}.googleapis.com`,
    );
    const { body } = await box.call(
      "serviceusage",
      "GET",
      `/v1/projects/${NUMBER}/services:batchGet?${names.join("&")}`,
    );
    return body.services.map(({ state }: { readonly state: string }) => state);
  };
  assert.deepEqual(await states(), ["DISABLED", "DISABLED"]);
  const poll = `/v1/${started.body.name}`;
  assert.equal((await box.call("serviceusage", "GET", poll)).body.done, false);
  assert.equal((await box.call("serviceusage", "GET", poll)).body.response.services.length, 2);
  assert.deepEqual(await states(), ["ENABLED", "ENABLED"]);
  const disable = await box.call(
    "serviceusage",
    "POST",
    `/v1beta1/projects/${PROJECT}/services/compute.googleapis.com:disable`,
    { json: {} },
  );
  box.clock.nowMs += 60_000;
  assert.equal((await box.call("serviceusage", "GET", `/v1beta1/${disable.body.name}`)).body.done, true);
  assert.deepEqual(await states(), ["DISABLED", "ENABLED"]);
});

test(
  "services that are unknown, unpaid, too many or not one's own are refused",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const box = await startTestBox(t, first);
    const enable = async (
      serviceIds: readonly string[],
      token?: string,
    ): Promise<readonly [number, string, string]> => {
      const { status, body } = await box.call(
        "serviceusage",
        "POST",
        `/v1/projects/${PROJECT}/services:batchEnable`,
        {
          json: { serviceIds },
          ...(token === undefined ? {} : { token }),
        },
      );
      return [status, body.error.status, body.error.message];
    };
    const [status, , message] = await enable(["cloudkm.googleapis.com"]);
    assert.equal(status, 403);
    assert.match(message, /Not found or permission denied for service\(s\): cloudkm.googleapis.com/);
    assert.deepEqual((await enable([])).slice(0, 2), [400, "INVALID_ARGUMENT"]);
    assert.equal((await enable(Array.from({ length: 21 }, () => "compute.googleapis.com")))[0], 400);
    assert.match(
      (await enable(["compute.googleapis.com"], box.tokenOf("user:stranger@example.com")))[2],
      /Permission denied to enable service/,
    );
    box.world.project(PROJECT).billingAccount = "";
    const unpaid = await enable(["compute.googleapis.com"]);
    assert.deepEqual(unpaid.slice(0, 2), [400, "FAILED_PRECONDITION"]);
    assert.match(unpaid[2], /Billing account for project '123456789012' is not found/);
  },
);

test(
  "a project is found by id and by number, in both versions, by whom it concerns",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const box = await startTestBox(t, first);
    const get = async (path: string, token?: string): Promise<Record<string, unknown>> =>
      (await box.call("cloudresourcemanager", "GET", path, token === undefined ? {} : { token })).body;
    const one = await get(`/v1/projects/${PROJECT}`);
    assert.deepEqual(
      [one["projectId"], one["projectNumber"], one["lifecycleState"]],
      [PROJECT, NUMBER, "ACTIVE"],
    );
    const three = await get(`/v3/projects/${NUMBER}`);
    assert.deepEqual(
      [three["name"], three["projectId"], three["state"]],
      [`projects/${NUMBER}`, PROJECT, "ACTIVE"],
    );
    const denied = { code: 403, message: "The caller does not have permission", status: "PERMISSION_DENIED" };
    for (const body of [
      await get("/v3/projects/nobodys"),
      await get(`/v1/projects/${PROJECT}`, box.tokenOf("user:stranger@example.com")),
    ]) {
      const { errors: _older, ...error } = body["error"] as Record<string, unknown>;
      assert.deepEqual(error, denied);
    }

    const billing = await box.call("cloudbilling", "GET", `/v1/projects/${PROJECT}/billingInfo`);
    assert.equal(billing.body.billingEnabled, true);
    box.world.project(PROJECT).billingAccount = "";
    assert.deepEqual((await box.call("cloudbilling", "GET", `/v1/projects/${PROJECT}/billingInfo`)).body, {
      name: `projects/${PROJECT}/billingInfo`,
      projectId: PROJECT,
      billingAccountName: "",
      billingEnabled: false,
    });
  },
);

test(
  "a project's policy is read, changed and written, and a stale write is refused",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const box = await startTestBox(t, first);
    const path = `/v1/projects/${PROJECT}`;
    const { body: policy } = await box.call("cloudresourcemanager", "POST", `${path}:getIamPolicy`, {
      json: { options: { requestedPolicyVersion: 3 } },
    });
    const set = (etag: string, role: string, member: string): ReturnType<typeof box.call> =>
      box.call("cloudresourcemanager", "POST", `${path}:setIamPolicy`, {
        json: {
          policy: { version: 3, etag, bindings: [...policy.bindings, { role, members: [member] }] },
          updateMask: "bindings,etag,auditConfigs",
        },
      });
    const can = async (token: string): Promise<unknown> =>
      (
        await box.call("cloudresourcemanager", "POST", `/v3/projects/${PROJECT}:testIamPermissions`, {
          token,
          json: { permissions: ["logging.logEntries.create", "compute.instances.create"] },
        })
      ).body;
    const token = box.tokenOf("user:writer@example.com");
    assert.deepEqual(await can(token), {});
    const written = await set(policy.etag, "roles/logging.logWriter", "user:writer@example.com");
    assert.equal(written.status, 200, JSON.stringify(written.body));
    assert.deepEqual(await can(token), { permissions: ["logging.logEntries.create"] });

    const stale = await set(policy.etag, "roles/logging.viewer", "user:reader@example.com");
    assert.deepEqual([stale.status, stale.body.error.status], [409, "ABORTED"]);
    const fresh = written.body.etag;
    for (const [role, member, message] of [
      ["roles/none", "user:a@example.com", /Role roles\/none is not supported/],
      ["roles/browser", "somebody", /unknown type/],
      ["roles/browser", `serviceAccount:none@${PROJECT}.iam.gserviceaccount.com`, /does not exist/],
    ] as const) {
      const answer = await set(fresh, role, member);
      assert.equal(answer.status, 400);
      assert.match(answer.body.error.message, message);
    }
  },
);

test("effective policies of the organization are told", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startTestBox(t, first);
  const effective = async (constraint: string): Promise<Record<string, unknown>> =>
    (await box.call("orgpolicy", "GET", `/v2/projects/${NUMBER}/policies/${constraint}:getEffectivePolicy`))
      .body;
  assert.deepEqual((await effective("compute.vmExternalIpAccess"))["spec"], { rules: [{ allowAll: true }] });
  assert.deepEqual((await effective("compute.requireShieldedVm"))["spec"], { rules: [{ enforce: false }] });
  box.world.project(PROJECT).orgPolicies.set("iam.workloadIdentityPoolProviders", { denyAll: true });
  box.world.project(PROJECT).orgPolicies.set("gcp.resourceLocations", { allowedValues: ["in:us-locations"] });
  assert.deepEqual((await effective("iam.workloadIdentityPoolProviders"))["spec"], {
    rules: [{ denyAll: true }],
  });
  assert.deepEqual((await effective("gcp.resourceLocations"))["spec"], {
    rules: [{ values: { allowedValues: ["in:us-locations"] } }],
  });
  assert.equal(((await effective("compute.nothing"))["error"] as { readonly code: number }).code, 404);
});

test("log entries are written and found again", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startTestBox(t, first);
  const instance = (id: string): unknown => ({
    type: "gce_instance",
    labels: { instance_id: id, zone: "us-central1-a" },
  });
  const write = await box.call("logging", "POST", "/v2/entries:write", {
    json: {
      logName: `projects/${PROJECT}/logs/cos_containers`,
      resource: instance("1"),
      entries: [
        { textPayload: "one", severity: "INFO", timestamp: "2026-01-01T00:00:01Z" },
        { textPayload: "two", severity: "ERROR", timestamp: "2026-01-01T00:00:02Z" },
        {
          textPayload: "other",
          severity: "ERROR",
          resource: instance("2"),
          timestamp: "2026-01-01T00:00:03Z",
        },
      ],
    },
  });
  assert.deepEqual([write.status, write.body], [200, {}]);
  const list = async (request: object): Promise<readonly string[]> => {
    const { body } = await box.call("logging", "POST", "/v2/entries:list", {
      json: { resourceNames: [`projects/${PROJECT}`], ...request },
    });
    assert.equal(body.error, undefined, JSON.stringify(body));
    return (body.entries ?? []).map(({ textPayload }: { readonly textPayload: string }) => textPayload);
  };
  const filter = 'resource.labels.instance_id="1" AND timestamp>="2026-01-01T00:00:00Z"';
  assert.deepEqual(await list({ filter }), ["one", "two"]);
  assert.deepEqual(await list({ filter, orderBy: "timestamp desc", pageSize: 1 }), ["two"]);
  assert.deepEqual(await list({ filter: "severity>=ERROR" }), ["two", "other"]);
  for (const json of [
    { resourceNames: [] },
    { resourceNames: ["organizations/1"] },
    { resourceNames: [`projects/${PROJECT}`], filter: "NOT severity" },
  ]) {
    assert.equal((await box.call("logging", "POST", "/v2/entries:list", { json })).status, 400);
  }
});

test("a token tells whose it is", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startTestBox(t, first);
  const info = (token: string): ReturnType<typeof box.call> =>
    box.call("oauth2", "GET", `/tokeninfo?access_token=${token}`, { token: null });
  assert.equal((await info(box.accessToken)).body.email, "owner@example.com");
  assert.equal((await info("guess")).status, 400);
});
