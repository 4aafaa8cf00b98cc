import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32c } from "@polaris-cvm/stacks/local/trust/crc32c.ts";
import {
  attest,
  exchangeForm,
  makePool,
  POOL,
  PRINCIPAL,
  VM,
  otherVm,
  PROVIDER,
  PROVIDER_BODY,
} from "./attestation-fixture.ts";
import type { VerifiedMachine } from "./attestation-issuer.ts";
import { DISCOVERY_MISSING, NUMBER, PROJECT, startTestBox } from "./box-fixture.ts";

const SECRETS = `/v1/projects/${PROJECT}/secrets`;
const SECRET = `${SECRETS}/token`;
const DATA = Buffer.from("planted-secret");
const BODY = { replication: { automatic: {} }, labels: { stack: "prod" } };
const payload = { data: DATA.toString("base64"), dataCrc32c: String(crc32c(DATA)) };

test("a secret has versions, and the newest is `latest`", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startTestBox(t);
  const made = await box.make("secretmanager", "POST", `${SECRETS}?secretId=token`, BODY);
  assert.equal(made.name, `projects/${NUMBER}/secrets/token`);
  await box.make("secretmanager", "POST", `${SECRET}:addVersion`, { payload: { data: "AA==" } });
  const second = await box.make("secretmanager", "POST", `${SECRET}:addVersion`, { payload });
  assert.equal(second.name, `projects/${NUMBER}/secrets/token/versions/2`);
  assert.deepEqual(await box.make("secretmanager", "GET", `${SECRET}/versions/latest:access`), {
    name: second.name,
    payload,
  });
  const versions = await box.make("secretmanager", "GET", `${SECRET}/versions`);
  assert.deepEqual(
    versions.versions.map(({ name }: { name: string }) => name.at(-1)),
    ["2", "1"],
  );
  await box.make("secretmanager", "POST", `${SECRET}/versions/2:disable`, {});
  assert.equal((await box.call("secretmanager", "GET", `${SECRET}/versions/2:access`)).status, 400);
  await box.make("secretmanager", "POST", `${SECRET}/versions/2:enable`, {});
  await box.make("secretmanager", "POST", `${SECRET}/versions/2:destroy`, {});
  const gone = await box.call("secretmanager", "GET", `${SECRET}/versions/2:access`);
  assert.equal(
    gone.body.error.message,
    `Secret Version [projects/${NUMBER}/secrets/token/versions/2] is in DESTROYED state.`,
  );
  const changed = await box.make("secretmanager", "PATCH", `${SECRET}?updateMask=labels`, {
    labels: { stack: "test" },
  });
  assert.deepEqual(changed.labels, { stack: "test" });
  await box.make("secretmanager", "DELETE", SECRET);
  assert.deepEqual(await box.make("secretmanager", "GET", SECRETS), {});
});

test("the attested principal alone reads a secret", { skip: DISCOVERY_MISSING }, async (t) => {
  const vm: { current: VerifiedMachine } = { current: VM };
  const box = await startTestBox(t, { iam: { verifyAttestation: async () => vm.current } });
  // A condition on the hardware alone: the grant on the secret tells the machines apart.
  await makePool(box, { ...PROVIDER_BODY, attributeCondition: "assertion.hwmodel == 'GCP_AMD_SEV_SNP'" });
  await box.make("secretmanager", "POST", `${SECRETS}?secretId=token`, BODY);
  await box.make("secretmanager", "POST", `${SECRET}:addVersion`, { payload });
  const access = async (): Promise<number> => {
    const form = exchangeForm(await attest(box));
    const { body } = await box.call("sts", "POST", "/v1/token", { token: null, form });
    const token: string = body.access_token;
    return (await box.call("secretmanager", "GET", `${SECRET}/versions/1:access`, { token })).status;
  };
  const grant = async (member: string): Promise<void> => {
    const bindings = [{ role: "roles/secretmanager.secretAccessor", members: [member] }];
    await box.make("secretmanager", "POST", `${SECRET}:setIamPolicy`, { policy: { bindings } });
  };
  assert.equal(await access(), 403);
  await grant(PRINCIPAL);
  assert.equal(await access(), 200);
  vm.current = otherVm({ machine: { instanceId: "7444444444444444444" } });
  assert.equal(await access(), 403, "another machine of the same pool");
  await grant(`principalSet://iam.googleapis.com/${POOL}/*`);
  assert.equal(await access(), 200, "the whole pool");
  assert.ok(PROVIDER.startsWith(POOL));
});

const refusals: readonly (readonly [
  name: string,
  method: string,
  path: string,
  json: object | undefined,
  status: number,
  message: RegExp,
])[] = [
  [
    "secret that exists",
    "POST",
    `${SECRETS}?secretId=token`,
    BODY,
    409,
    /^Secret \[projects\/123456789012\/secrets\/token\] already exists\.$/,
  ],
  ["id with a dot", "POST", `${SECRETS}?secretId=a.b`, BODY, 400, /secret id/],
  ["no id", "POST", SECRETS, BODY, 400, /secret id/],
  ["no replication", "POST", `${SECRETS}?secretId=x`, {}, 400, /replication/],
  ["label in upper case", "POST", `${SECRETS}?secretId=x`, { ...BODY, labels: { A: "b" } }, 400, /Label key/],
  ["unknown field", "POST", `${SECRETS}?secretId=x`, { ...BODY, value: "x" }, 400, /Unknown name "value"/],
  [
    "payload of 65537 bytes",
    "POST",
    `${SECRET}:addVersion`,
    { payload: { data: Buffer.alloc(65_537).toString("base64") } },
    400,
    /65536 bytes/,
  ],
  [
    "wrong checksum",
    "POST",
    `${SECRET}:addVersion`,
    { payload: { ...payload, dataCrc32c: "1" } },
    400,
    /checksum/,
  ],
  ["no payload", "POST", `${SECRET}:addVersion`, {}, 400, /Payload/],
  ["unknown secret", "GET", `${SECRETS}/none`, undefined, 404, /not found/],
  ["unknown version", "GET", `${SECRET}/versions/7:access`, undefined, 404, /not found/],
  ["latest of none", "GET", `${SECRET}/versions/latest`, undefined, 404, /not found/],
  ["change of the replication", "PATCH", `${SECRET}?updateMask=replication`, BODY, 400, /cannot be updated/],
  ["stale etag", "DELETE", `${SECRET}?etag=%220%22`, undefined, 400, /etag/],
];

test("Secret Manager refuses what Google's refuses", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startTestBox(t);
  await box.make("secretmanager", "POST", `${SECRETS}?secretId=token`, BODY);
  for (const [name, method, path, json, status, message] of refusals) {
    await t.test(name, async () => {
      const answer = await box.call("secretmanager", method, path, json === undefined ? {} : { json });
      assert.equal(answer.status, status, JSON.stringify(answer.body));
      assert.match(answer.body.error.message, message);
    });
  }
});
