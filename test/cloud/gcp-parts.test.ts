import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { PlannedChange } from "@polaris-cvm/stacks/engine/planned-changes.ts";
import { parseAppOutputs } from "@polaris-cvm/stacks/gcp/programs/part-outputs.ts";
import { publicKeyOf, tokenOf, tryDecrypt, verify } from "./parts-decrypt.ts";
import { failureOf, PARTS_SKIP, startStackCloud } from "./parts-fixture.ts";
import { type AppBasis, OTHER_IMAGE, principalOf } from "./parts-inputs.ts";
import { assertNoSecretOnDisk, SECRET_VALUE } from "./parts-secrets.ts";
import { NO_KEY_CHANGES, upApp, upBase, upKey, valuesOf } from "./parts-up.ts";

/** By name: what does not wait for another is planned in any order. */
const actions = (changes: readonly PlannedChange[]): Readonly<Record<string, string>> =>
  Object.fromEntries(changes.map(({ action, name }) => [name, action]));

test(
  "three parts make a machine that alone has the key, and the key outlives the machine",
  { skip: PARTS_SKIP, timeout: 180_000 },
  async (t) => {
    const cloud = await startStackCloud(t);
    const { outputs: base } = await upBase(cloud);
    const { outputs: keyPart } = await upKey(cloud, undefined);
    assert.deepEqual(keyPart.decrypters, []);
    const basis: AppBasis = { base, key: keyPart, secretValue: SECRET_VALUE, greeting: "hello" };
    const { outputs: app } = await upApp(cloud, basis);
    const decrypter = principalOf(app.instanceId);
    assert.deepEqual((await upKey(cloud, decrypter)).outputs, { ...keyPart, decrypters: [decrypter] });
    const { key } = keyPart;
    const publicKey = await publicKeyOf(cloud, key);
    const evidence = verify(cloud, cloud.machine(app.instanceId));
    const token = await tokenOf(cloud, evidence);
    const bigger = { machineType: "n2d-standard-4" };
    const changed: AppBasis = { ...basis, greeting: "good evening" };

    await t.test("a second up of each part finds nothing to do", async () => {
      const again = await Promise.all([upBase(cloud), upApp(cloud, basis), upKey(cloud, decrypter)]);
      assert.deepEqual(
        again.map(({ changes }) => changes),
        [[], [], []],
      );
    });

    await t.test("the attested machine decrypts; another one of the same project does not", async () => {
      assert.equal(await tryDecrypt(cloud, key, token), 200);
      const other = { ...evidence, machine: { ...evidence.machine, instanceId: "7444444444444444444" } };
      assert.equal(await tryDecrypt(cloud, key, await tokenOf(cloud, other)), 403);
    });

    await t.test("another machine type is an update, and the machine stays the one that it is", async () => {
      const { outputs, changes } = await upApp(cloud, basis, bigger);
      assert.deepEqual(actions(changes), { vm: "update" });
      assert.deepEqual(changes[0]?.properties, ["machineType"]);
      assert.equal(outputs.instanceId, app.instanceId);
      assert.equal(await tryDecrypt(cloud, key, token), 200);
    });

    await t.test("a preview says that another image and other user-data replace the machine", async () => {
      const otherImage = await (await cloud.openApp(basis, { ...bigger, image: OTHER_IMAGE })).preview();
      assert.equal(actions(otherImage.changes)["vm"], "replace");
      assert.equal(otherImage.outputs["instanceId"], undefined);

      const planFile = join(cloud.folder, "saved.plan");
      const part = await cloud.openApp(changed, bigger);
      const { changes } = await part.preview({ planFile });
      assert.deepEqual(actions(changes), { vm: "replace", "secrets-API_KEY-reader": "replace" });
      await assertNoSecretOnDisk(cloud);
      await part.up({ ...NO_KEY_CHANGES, planFile });
    });

    await t.test("the key goes to the new machine, and away from the old one", async () => {
      const next = parseAppOutputs(valuesOf(await (await cloud.openApp(changed, bigger)).outputs()));
      assert.notEqual(next.instanceId, app.instanceId);
      assert.equal(next.externalAddress, app.externalAddress);
      const nextToken = await tokenOf(cloud, verify(cloud, cloud.machine(next.instanceId)));
      assert.equal(await tryDecrypt(cloud, key, nextToken), 403);
      await upKey(cloud, principalOf(next.instanceId));
      assert.equal(await tryDecrypt(cloud, key, nextToken), 200);
      assert.equal(await tryDecrypt(cloud, key, token), 403);
    });

    await t.test("what would replace or delete the key is refused, and the cloud is not asked", async () => {
      const asked = cloud.box.world.requests.length;
      const renamed = await cloud.openKey(decrypter, { keyName: "other" });
      const moved = await cloud.openKey(decrypter, { location: "europe-west3" });
      const released = await cloud.openKey(decrypter, { keyName: "other", keyProtection: "released" });
      const destroy = { mayChangeKeys: false, keepProtected: false, remove: false, runProgram: true };
      assert.equal((await failureOf(released.up(NO_KEY_CHANGES))).code, "KEY_CHANGE_REFUSED");
      for (const refused of [
        () => renamed.up(NO_KEY_CHANGES),
        () => moved.up(NO_KEY_CHANGES),
        () => renamed.destroy(destroy),
      ]) {
        // Where the key is kept, the engine's own lock is asked before our guard.
        assert.equal((await failureOf(refused())).code, "KEY_CHANGE_REFUSED");
      }
      assert.deepEqual(cloud.box.world.requests.slice(asked), []);
    });

    await t.test("machine and base go without the key, and a new machine gets the same one", async () => {
      const destroy = { mayChangeKeys: false, keepProtected: true, remove: true, runProgram: true };
      await (await cloud.openApp(changed, bigger)).destroy(destroy);
      await (await cloud.openBase()).destroy(destroy);
      assert.equal(await publicKeyOf(cloud, key), publicKey);
      await upBase(cloud);
      const { outputs: next } = await upApp(cloud, basis);
      await upKey(cloud, principalOf(next.instanceId));
      assert.equal(await publicKeyOf(cloud, key), publicKey);
      const nextToken = await tokenOf(cloud, verify(cloud, cloud.machine(next.instanceId)));
      assert.equal(await tryDecrypt(cloud, key, nextToken), 200);
    });

    await t.test("neither the access token nor the workload's secret is on disk", async () => {
      const version = `/v1/projects/${cloud.box.project}/secrets/hello-prod-api-key-x7k2/versions/latest`;
      const { payload } = await cloud.box.make("secretmanager", "GET", `${version}:access`);
      assert.equal(Buffer.from(payload.data, "base64").toString(), SECRET_VALUE);
      await assertNoSecretOnDisk(cloud);
    });
  },
);
