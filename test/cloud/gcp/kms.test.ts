import assert from "node:assert/strict";
import type { KeyObject } from "node:crypto";
import { test } from "node:test";
import { DISCOVERY_MISSING, NUMBER, PROJECT, sharedRsaKey, startTestBox } from "./box-fixture.ts";
import { HSM_KEY, KEY, makeKey, PARENT, RING, untilGenerated } from "./kms-fixture.ts";

test(
  "a key is made at once, and its version is generated after that",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const generation = Promise.withResolvers<KeyObject>();
    const box = await startTestBox(t, { iam: { generateKey: () => generation.promise } });
    await box.make("cloudkms", "POST", `${PARENT}/keyRings?keyRingId=polaris`);
    const key = await box.make(
      "cloudkms",
      "POST",
      `${RING}/cryptoKeys?cryptoKeyId=proxy&skipInitialVersionCreation=false`,
      HSM_KEY,
    );
    const { createTime, ...rest } = key;
    assert.equal(createTime, new Date(box.clock.nowMs).toISOString());
    assert.deepEqual(rest, { name: KEY.slice(4), ...HSM_KEY });

    const pending = await box.make("cloudkms", "GET", `${KEY}/cryptoKeyVersions/1`);
    assert.equal(pending.state, "PENDING_GENERATION");
    const early = await box.call("cloudkms", "GET", `${KEY}/cryptoKeyVersions/1/publicKey`);
    assert.deepEqual([early.status, early.body.error.status], [400, "FAILED_PRECONDITION"]);

    generation.resolve(await sharedRsaKey());
    await untilGenerated(box, 1);
    const { state, protectionLevel } = await box.make("cloudkms", "GET", `${KEY}/cryptoKeyVersions/1`);
    assert.deepEqual({ state, protectionLevel }, { state: "ENABLED", protectionLevel: "HSM" });
    assert.match(
      (await box.make("cloudkms", "GET", `${KEY}/cryptoKeyVersions/1/publicKey`)).pem,
      /^-----BEGIN PUBLIC KEY/,
    );
  },
);

test("a key is the same by the project's id and by its number", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startTestBox(t);
  await makeKey(box);
  const byNumber = KEY.replace(PROJECT, NUMBER);
  assert.equal((await box.make("cloudkms", "GET", byNumber)).name, KEY.slice(4));
  assert.equal((await box.make("cloudkms", "GET", `${byNumber}/cryptoKeyVersions/1`)).state, "ENABLED");
  assert.equal((await box.make("cloudkms", "GET", `${RING}/cryptoKeys`)).totalSize, 1);
  assert.equal((await box.make("cloudkms", "GET", `${PARENT}/keyRings`)).keyRings[0].name, RING.slice(4));
});

test(
  "a version is scheduled for destruction, restored, and gone in the end",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const box = await startTestBox(t);
    await makeKey(box);
    const version = `${KEY}/cryptoKeyVersions/1`;
    assert.equal((await box.make("cloudkms", "POST", `${version}:destroy`, {})).state, "DESTROY_SCHEDULED");
    assert.equal((await box.make("cloudkms", "POST", `${version}:restore`, {})).state, "DISABLED");
    await box.make("cloudkms", "POST", `${version}:destroy`, {});
    box.clock.nowMs += 2_592_000_000;
    assert.equal((await box.make("cloudkms", "GET", version)).state, "DESTROYED");
    const again = await box.call("cloudkms", "POST", `${version}:restore`, { json: {} });
    assert.equal(again.body.error.status, "FAILED_PRECONDITION");
    const second = await box.make("cloudkms", "POST", `${KEY}/cryptoKeyVersions`, {});
    assert.equal(second.name, `${KEY.slice(4)}/cryptoKeyVersions/2`);
    await untilGenerated(box, 2);
  },
);

test("labels change, and nothing else does", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startTestBox(t);
  await makeKey(box);
  const changed = await box.make("cloudkms", "PATCH", `${KEY}?updateMask=labels`, {
    ...HSM_KEY,
    labels: { stack: "test" },
  });
  assert.deepEqual(changed.labels, { stack: "test" });
  for (const field of [
    "purpose",
    "versionTemplate.protectionLevel",
    "destroyScheduledDuration",
    "importOnly",
  ]) {
    const answer = await box.call("cloudkms", "PATCH", `${KEY}?updateMask=${field}`, { json: HSM_KEY });
    assert.equal(answer.status, 400, field);
    assert.match(answer.body.error.message, /immutable/);
  }
});

test("locations say whether they have hardware modules", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startTestBox(t, { iam: { locationsWithoutHsm: ["us-east1"] } });
  const location = async (name: string): Promise<unknown> =>
    (await box.make("cloudkms", "GET", `/v1/projects/${PROJECT}/locations/${name}`)).metadata.hsmAvailable;
  assert.equal(await location("europe-west4"), true);
  assert.equal(await location("us-east1"), undefined);
});

test(
  "of two changes of a key's policy, the one that did not see the other fails",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const box = await startTestBox(t);
    await makeKey(box);
    const read = await box.make("cloudkms", "GET", `${KEY}:getIamPolicy?options.requestedPolicyVersion=3`);
    const policy = {
      version: 3,
      etag: read.etag,
      bindings: [{ role: "roles/cloudkms.viewer", members: ["user:a@example.com"] }],
    };
    const written = await box.make("cloudkms", "POST", `${KEY}:setIamPolicy`, { policy });
    assert.notEqual(written.etag, read.etag);
    const stale = await box.call("cloudkms", "POST", `${KEY}:setIamPolicy`, { json: { policy } });
    assert.deepEqual([stale.status, stale.body.error.status], [409, "ABORTED"]);
    const token = box.tokenOf("user:a@example.com");
    assert.equal((await box.call("cloudkms", "GET", KEY, { token })).status, 200);
    const foreign = await box.call("cloudkms", "GET", `${KEY}/cryptoKeyVersions/1/publicKey`, { token });
    assert.equal(foreign.status, 403);
    await box.make("cloudkms", "POST", `${KEY}:setIamPolicy`, { policy: { etag: written.etag, version: 3 } });
    assert.equal((await box.call("cloudkms", "GET", KEY, { token })).status, 403);
  },
);
