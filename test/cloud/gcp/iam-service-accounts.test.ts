import assert from "node:assert/strict";
import { test } from "node:test";
import { DISCOVERY_MISSING, PROJECT, startTestBox, type TestBox } from "./box-fixture.ts";

const ACCOUNTS = `/v1/projects/${PROJECT}/serviceAccounts`;
const EMAIL = `polaris-vm@${PROJECT}.iam.gserviceaccount.com`;
const ACCOUNT = `${ACCOUNTS}/${EMAIL}`;
const GENERATE = `/v1/projects/-/serviceAccounts/${EMAIL}:generateAccessToken`;
const SCOPE = ["https://www.googleapis.com/auth/cloud-platform"];

async function makeAccount(box: TestBox): Promise<void> {
  await box.make("iam", "POST", ACCOUNTS, {
    accountId: "polaris-vm",
    serviceAccount: { displayName: "Polaris", description: "of the VM" },
  });
}

test("a service account is made, changed and deleted", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startTestBox(t);
  await makeAccount(box);
  const { uniqueId, etag, oauth2ClientId, ...rest } = await box.make("iam", "GET", ACCOUNT);
  assert.match(uniqueId, /^[0-9]{21}$/);
  assert.equal(oauth2ClientId, uniqueId);
  assert.deepEqual(rest, {
    name: ACCOUNT.slice(4),
    projectId: PROJECT,
    email: EMAIL,
    displayName: "Polaris",
    description: "of the VM",
  });
  const patch = { serviceAccount: { description: "changed", etag }, updateMask: "description" };
  assert.equal((await box.make("iam", "PATCH", ACCOUNT, patch)).description, "changed");
  const stale = await box.call("iam", "PATCH", ACCOUNT, { json: patch });
  assert.deepEqual([stale.status, stale.body.error.status], [409, "ABORTED"]);
  await box.make("iam", "POST", `${ACCOUNT}:disable`, {});
  assert.equal((await box.make("iam", "GET", ACCOUNT)).disabled, true);
  assert.equal((await box.make("iam", "GET", ACCOUNTS)).accounts.length, 1);
  await box.make("iam", "DELETE", ACCOUNT);
  assert.equal((await box.call("iam", "GET", ACCOUNT)).status, 404);
  assert.equal(box.world.serviceAccounts.has(EMAIL), false);
});

test("a new account is not seen by the first reads", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startTestBox(t, { iam: { invisibleReads: 2 } });
  await makeAccount(box);
  const statuses: number[] = [];
  for (let read = 0; read < 4; read += 1) statuses.push((await box.call("iam", "GET", ACCOUNT)).status);
  assert.deepEqual(statuses, [404, 404, 200, 200]);
});

const refusals: readonly (readonly [name: string, body: object, status: number, message: RegExp])[] = [
  ["id of 5 characters", { accountId: "short" }, 400, /6 to 30/],
  ["id of 31 characters", { accountId: "a".repeat(31) }, 400, /6 to 30/],
  ["id in upper case", { accountId: "Polaris-vm" }, 400, /6 to 30/],
  ["id that ends with a dash", { accountId: "polaris-" }, 400, /6 to 30/],
  ["no id", {}, 400, /6 to 30/],
  [
    "description of 257 bytes",
    { accountId: "another", serviceAccount: { description: "x".repeat(257) } },
    400,
    /256 bytes/,
  ],
  [
    "display name of 101 bytes",
    { accountId: "another", serviceAccount: { displayName: "x".repeat(101) } },
    400,
    /100 bytes/,
  ],
  ["unknown field", { accountId: "another", serviceAccount: { name2: "x" } }, 400, /Unknown name "name2"/],
  [
    "account that exists",
    { accountId: "polaris-vm" },
    409,
    /^Service account polaris-vm already exists within project projects\/polaris-box\.$/,
  ],
];

test("accounts are refused by Google's rules", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startTestBox(t);
  await makeAccount(box);
  for (const [name, json, status, message] of refusals) {
    await t.test(name, async () => {
      const answer = await box.call("iam", "POST", ACCOUNTS, { json });
      assert.equal(answer.status, status);
      assert.match(answer.body.error.message, message);
    });
  }
  await t.test("organization that allows no new accounts", async () => {
    box.world.project(PROJECT).orgPolicies.set("iam.disableServiceAccountCreation", { enforce: true });
    const answer = await box.call("iam", "POST", ACCOUNTS, { json: { accountId: "another" } });
    assert.equal(answer.body.error.status, "FAILED_PRECONDITION");
  });
});

test(
  "who may act as an account gets its token, and that token is the account's",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const box = await startTestBox(t);
    await makeAccount(box);
    const token = box.tokenOf("user:a@example.com");
    const generate = (json: object): ReturnType<TestBox["call"]> =>
      box.call("iamcredentials", "POST", GENERATE, { token, json });
    const denied = await generate({ scope: SCOPE });
    assert.equal(denied.status, 403);
    assert.match(denied.body.error.message, /iam\.serviceAccounts\.getAccessToken/);

    const bindings = [{ role: "roles/iam.serviceAccountTokenCreator", members: ["user:a@example.com"] }];
    await box.make("iam", "POST", `${ACCOUNT}:setIamPolicy`, { policy: { bindings } });
    const granted = await generate({ scope: SCOPE, lifetime: "600s" });
    assert.equal(granted.status, 200);
    assert.equal(Date.parse(granted.body.expireTime), Math.floor(box.clock.nowMs / 1000) * 1000 + 600_000);
    await box.call("iam", "GET", ACCOUNT, { token: granted.body.accessToken });
    assert.equal(box.world.requests.at(-1)?.member, `serviceAccount:${EMAIL}`);

    assert.equal((await generate({ scope: SCOPE, lifetime: "7200s" })).status, 400);
    assert.equal((await generate({ scope: [] })).status, 400);
    await box.make("iam", "POST", `${ACCOUNT}:disable`, {});
    assert.equal((await generate({ scope: SCOPE })).body.error.status, "FAILED_PRECONDITION");
  },
);
