import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { failureOf, PARTS_SKIP, type StackCloud, startStackCloud } from "./parts-fixture.ts";
import type { AppBasis } from "./parts-inputs.ts";
import { assertNoSecretOnDisk, SECRET_VALUE, secretTexts } from "./parts-secrets.ts";
import { NO_KEY_CHANGES, upApp, upBase, upKey } from "./parts-up.ts";

/** The one error that a refusal of the cloud becomes, in the cloud's words and without a secret. */
async function assertRefused(cloud: StackCloud, work: Promise<unknown>, message: RegExp): Promise<void> {
  const failure = await failureOf(work);
  assert.equal(failure.code, "CLOUD_RESOURCE_FAILED", failure.message);
  assert.match(failure.message, message);
  const said = JSON.stringify([failure.message, failure.hint, failure.details, String(failure.cause)]);
  for (const text of secretTexts(cloud)) assert.ok(!said.includes(text), "a secret is in the error");
}

const isInsertOfMachine = ({ method, path }: { readonly method: string; readonly path: string }): boolean =>
  method === "POST" && path.includes("/instances");

test(
  "what the cloud refuses and the network loses is one error, and the next up goes on",
  { skip: PARTS_SKIP, timeout: 180_000 },
  async (t) => {
    const cloud = await startStackCloud(t);
    const { world, project } = cloud.box;
    let basis: AppBasis;

    await t.test("the network is lost in the middle", async () => {
      cloud.network.decide = ({ method, path }) =>
        method === "POST" && path.includes("/subnetworks") ? "lose-request" : "pass";
      await assertRefused(cloud, upBase(cloud), /^cannot create .*Subnetwork.*EOF/);
      cloud.network.decide = () => "pass";
      const { changes } = await upBase(cloud);
      assert.ok(changes.some(({ name }) => name === "network-subnet"));
      // What was made before is not made again.
      assert.ok(changes.every(({ action, name }) => action === "create" && name !== "network"));
    });

    await t.test("an API is not enabled, and the organization does not allow the issuer", async () => {
      const services = ["iam.googleapis.com"];
      await assertRefused(
        cloud,
        (await cloud.openKey(undefined, { services })).up(NO_KEY_CHANGES),
        /Cloud Key Management Service \(KMS\) API has not been used in project 210987654321/,
      );
      cloud.keyProject.orgPolicies.set("iam.workloadIdentityPoolProviders", { denyAll: true });
      await assertRefused(
        cloud,
        upKey(cloud, undefined),
        /Operation denied by org policy .*constraints\/iam\.workloadIdentityPoolProviders/,
      );
      cloud.keyProject.orgPolicies.clear();
      const key = (await upKey(cloud, undefined)).outputs;
      const base = (await upBase(cloud)).outputs;
      basis = { base, key, secretValue: SECRET_VALUE, greeting: "hello" };
    });

    await t.test("there is no quota, and then no machine in the zone", async () => {
      world.project(project).quotas.set("europe-west4/N2D_CPUS", 0);
      await assertRefused(cloud, upApp(cloud, basis), /"vm".*: .*Quota 'N2D_CPUS' exceeded/s);
      world.project(project).quotas.clear();
      world.exhaustedZones.add("europe-west4-a");
      await assertRefused(cloud, upApp(cloud, basis), /"vm".*: .*does not have enough resources available/s);
      world.exhaustedZones.clear();
    });

    await t.test("who comes second is told who works, and a killed one leaves a lock to remove", async () => {
      const arrived = Promise.withResolvers<void>();
      const release = Promise.withResolvers<"lose-request">();
      cloud.network.decide = (request) => {
        if (!isInsertOfMachine(request)) return "pass";
        arrived.resolve();
        return release.promise;
      };
      const first = failureOf(upApp(cloud, basis));
      await arrived.promise;
      const second = await cloud.openApp(basis, {}, { workDir: join(cloud.folder, "work", "second") });
      const [lock] = (await second.findLocks()) ?? [];
      assert.ok(lock);
      const refusal = await failureOf(second.up(NO_KEY_CHANGES));
      assert.equal(refusal.code, "STACK_LOCKED");
      assert.match(refusal.message, new RegExp(`locked by ${lock.user} \\(process ${lock.pid} on`));

      process.kill(lock.pid, "SIGKILL");
      assert.equal((await first).code, "ENGINE_FAILED");
      release.resolve("lose-request");
      assert.match((await failureOf(second.up(NO_KEY_CHANGES))).message, /a process that is gone/);
      assert.equal((await second.cancelLock({ force: false }))[0]?.pid, lock.pid);
    });

    await t.test("a machine whose making was never answered is in the way of the next up", async () => {
      cloud.network.decide = (request) => (isInsertOfMachine(request) ? "lose-answer" : "pass");
      await assertRefused(cloud, upApp(cloud, basis), /"vm".*: Error creating instance: .*EOF/);
      cloud.network.decide = () => "pass";
      await assertRefused(
        cloud,
        upApp(cloud, basis),
        /"vm".*: Error creating instance: .*already (?:exists|in-use)/,
      );
      const path = `/compute/v1/projects/${project}/zones/europe-west4-a/instances/hello-prod-x7k2`;
      // The making goes on, whether anybody looks or not.
      cloud.box.clock.nowMs += 60_000;
      await cloud.box.make("compute", "DELETE", path);
      cloud.box.clock.nowMs += 60_000;
      assert.match((await upApp(cloud, basis)).outputs.instance, /\/hello-prod-x7k2$/);
    });

    await t.test("none of the errors left a secret on disk", () => assertNoSecretOnDisk(cloud));
  },
);
