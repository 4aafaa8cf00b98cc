import assert from "node:assert/strict";
import { test } from "node:test";
import { accessToken, credentials, cryptoKey, serviceAccount, startTestTrust } from "./fixture.ts";

const SCOPE = ["https://www.googleapis.com/auth/cloud-platform"];
const path = (email = serviceAccount): string =>
  `/v1/projects/-/serviceAccounts/${email}:generateAccessToken`;

test("the attested principal may act as the service account that names it", async (t) => {
  const trust = await startTestTrust(t);
  const bearer = await accessToken(trust);
  const answer = await trust.call("POST", path(), { bearer, json: { scope: SCOPE, lifetime: "600s" } });
  assert.equal(answer.status, 200);
  assert.equal(
    answer.body.expireTime,
    new Date(trust.clock.nowMs + 600_000).toISOString().replace(".000Z", "Z"),
  );
  // The account may decrypt, so it gets as far as the ciphertext; it has no role to list versions.
  const version = `/v1/${cryptoKey}/cryptoKeyVersions/1`;
  const asAccount = { bearer: answer.body.accessToken };
  const decryption = await trust.call("POST", `${version}:asymmetricDecrypt`, {
    ...asAccount,
    json: { ciphertext: "AAAA" },
  });
  assert.equal(decryption.body.error.message, "Decryption failed: the ciphertext is invalid.");
  assert.equal((await trust.call("GET", version, asAccount)).status, 403);
  trust.clock.nowMs += 600_000;
  assert.equal((await trust.call("GET", version, asAccount)).status, 401);
});

test("nobody else gets an access token of a service account", async (t) => {
  const trust = await startTestTrust(t);
  const attested = await accessToken(trust);
  const stranger = await accessToken(trust, "lenient", credentials.otherMachine);
  const rows: [string, string, string | undefined, unknown, number, string][] = [
    ["no credential", path(), undefined, { scope: SCOPE }, 401, "UNAUTHENTICATED"],
    ["garbage", path(), "garbage", { scope: SCOPE }, 401, "UNAUTHENTICATED"],
    ["another principal of the pool", path(), stranger, { scope: SCOPE }, 403, "PERMISSION_DENIED"],
    ["an administrator", path(), credentials.administrator, { scope: SCOPE }, 403, "PERMISSION_DENIED"],
    ["unknown account", path("nobody@sim-project.iam"), attested, { scope: SCOPE }, 403, "PERMISSION_DENIED"],
    ["no scope", path(), attested, {}, 400, "INVALID_ARGUMENT"],
    ["lifetime over an hour", path(), attested, { scope: SCOPE, lifetime: "3601s" }, 400, "INVALID_ARGUMENT"],
    ["lifetime of nothing", path(), attested, { scope: SCOPE, lifetime: "0s" }, 400, "INVALID_ARGUMENT"],
    ["delegates", path(), attested, { scope: SCOPE, delegates: ["a"] }, 400, "INVALID_ARGUMENT"],
    ["unknown field", path(), attested, { scope: SCOPE, email: "a" }, 400, "INVALID_ARGUMENT"],
  ];
  for (const [name, target, bearer, json, status, code] of rows) {
    await t.test(name, async () => {
      const answer = await trust.call("POST", target, { bearer, json });
      assert.deepEqual([answer.status, answer.body.error.status], [status, code]);
      if (status === 403) assert.equal(answer.body.error.details[0]!.reason, "IAM_PERMISSION_DENIED");
    });
  }
});
