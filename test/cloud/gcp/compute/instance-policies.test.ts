import assert from "node:assert/strict";
import { test } from "node:test";
import { DISCOVERY_MISSING, type Json, PROJECT } from "../box-fixture.ts";
import type { OrgPolicy } from "../world.ts";
import { instanceBody, INSTANCES, startComputeBox } from "./compute-fixture.ts";

const POLICIES: readonly {
  readonly constraint: string;
  readonly policy: OrgPolicy;
  readonly allowing: OrgPolicy;
  readonly change?: (body: Json) => void;
}[] = [
  {
    constraint: "compute.vmExternalIpAccess",
    policy: { denyAll: true },
    allowing: { allowedValues: [`projects/${PROJECT}/${INSTANCES}/polaris-vm`] },
  },
  {
    constraint: "compute.trustedImageProjects",
    policy: { allowedValues: ["projects/debian-cloud"] },
    allowing: { allowedValues: ["projects/cos-cloud"] },
  },
  {
    constraint: "compute.requireShieldedVm",
    policy: { enforce: true },
    allowing: { enforce: false },
    change: (body) => (body.shieldedInstanceConfig.enableSecureBoot = false),
  },
  {
    constraint: "compute.restrictNonConfidentialComputing",
    policy: { denyAll: true },
    allowing: { allowAll: true },
    change: (body) => delete body.confidentialInstanceConfig,
  },
  {
    constraint: "compute.disableSerialPortAccess",
    policy: { enforce: true },
    allowing: { enforce: false },
    change: (body) => body.metadata.items.push({ key: "serial-port-enable", value: "true" }),
  },
  {
    constraint: "compute.requireOsLogin",
    policy: { enforce: true },
    allowing: { enforce: false },
    change: (body) => body.metadata.items.push({ key: "enable-oslogin", value: "FALSE" }),
  },
  {
    constraint: "gcp.resourceLocations",
    policy: { allowedValues: ["in:europe-locations"] },
    allowing: { allowedValues: ["in:us-locations"] },
  },
];

for (const { constraint, policy, allowing, change } of POLICIES) {
  test(
    `the policy ${constraint} is kept, and only where it is violated`,
    { skip: DISCOVERY_MISSING },
    async (t) => {
      const box = await startComputeBox(t);
      const body = instanceBody();
      change?.(body);
      const { orgPolicies } = box.world.project(PROJECT);
      orgPolicies.set(constraint, policy);
      const refused = await box.send("POST", INSTANCES, body);
      assert.equal(refused.status, 412, JSON.stringify(refused.body));
      assert.match(refused.body.error.message, new RegExp(`[Cc]onstraint '?constraints/${constraint}`));
      assert.equal(refused.body.error.errors[0].reason, "conditionNotMet");
      orgPolicies.set(constraint, allowing);
      await box.run("POST", INSTANCES, body);
    },
  );
}
