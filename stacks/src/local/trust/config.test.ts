import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { PolarisError } from "@polaris-cvm/sdk/errors";
import { loadTrustConfig, parseTrustConfig, type TrustConfigInput } from "./config.ts";

function validDocument(): TrustConfigInput {
  return {
    version: 1,
    port: 4000,
    stateDir: "/state",
    machines: [],
    administrators: [],
    workloadIdentity: {
      projectNumber: "1",
      pools: [
        {
          id: "pool",
          providers: [
            {
              id: "provider",
              issuerUri: "self",
              allowedAudiences: [],
              attributeMapping: { "google.subject": "assertion.sub" },
              attributeCondition: "assertion.secboot == true",
            },
          ],
        },
      ],
    },
    kms: {
      project: "p",
      location: "local",
      keyRings: [{ id: "ring", cryptoKeys: [{ id: "key", bindings: [] }] }],
    },
  };
}

test("a configuration without the optional parts is complete", () => {
  const config = parseTrustConfig(validDocument());
  assert.deepEqual(config.serviceAccounts, []);
  assert.equal(config.workloadIdentity.pools[0]?.disabled, false);
});

test("what is wrong in a configuration is refused, with its place", () => {
  const provider = (document: TrustConfigInput): object => document.workloadIdentity.pools[0]!.providers[0]!;
  const key = (document: TrustConfigInput): { id: string; bindings: unknown[] } =>
    document.kms.keyRings[0]!.cryptoKeys[0]!;
  const rows: [(document: TrustConfigInput) => unknown, RegExp][] = [
    [(d) => Object.assign(d, { version: 2 }), /version: /],
    [(d) => (d.port = 70_000), /port: /],
    [(d) => Object.assign(d, { debug: true }), /the document: Unrecognized key: "debug"/],
    [(d) => Reflect.deleteProperty(d, "kms"), /kms: /],
    [
      (d) => d.administrators.push({ credentialSha256: "a", email: "e" }),
      /administrators\.0\.credentialSha256: /,
    ],
    [(d) => Reflect.deleteProperty(provider(d), "attributeCondition"), /providers\.0\.attributeCondition: /],
    [(d) => Object.assign(provider(d), { attributeCondition: "" }), /providers\.0\.attributeCondition: /],
    [
      (d) => Object.assign(provider(d), { attributeCondition: "'yes'" }),
      /attributeCondition: attribute condition must be a bool/,
    ],
    [
      (d) => Object.assign(provider(d), { attributeMapping: {} }),
      /attributeMapping: attribute mapping has no google.subject/,
    ],
    [(d) => Object.assign(provider(d), { issuerUri: "file:///etc" }), /issuerUri: /],
    [(d) => Object.assign(provider(d), { id: "gcp-provider" }), /must not start with gcp-/],
    [
      (d) => d.workloadIdentity.pools.push(d.workloadIdentity.pools[0]!),
      /pools\.1\.id: "pool" is there twice/,
    ],
    [(d) => (key(d).id = "../key"), /cryptoKeys\.0\.id: /],
    [(d) => d.kms.keyRings.push({ id: "RING", cryptoKeys: [] }), /keyRings\.1\.id: "RING" is there twice/],
    [(d) => key(d).bindings.push({ role: "roles/owner", members: [] }), /bindings\.0\.role: /],
    [
      (d) => key(d).bindings.push({ role: "roles/cloudkms.cryptoKeyDecrypter", members: ["allUsers"] }),
      /members\.0: expected a principal/,
    ],
    [
      (d) => key(d).bindings.push({ role: "roles/iam.workloadIdentityUser", members: ["user:a@b"] }),
      /bindings\.0\.role: /,
    ],
  ];
  for (const [change, message] of rows) {
    const document = validDocument();
    change(document);
    assert.throws(() => parseTrustConfig(document), { code: "CONFIG_INVALID", message });
  }
});

test("a file that is missing, unreadable or no JSON has its own code", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "polaris-test-"));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, "trust.json");
  await assert.rejects(loadTrustConfig(path), {
    code: "CONFIG_FILE_NOT_FOUND",
  } satisfies Partial<PolarisError>);
  await assert.rejects(loadTrustConfig(folder), { code: "CONFIG_UNREADABLE" });
  await writeFile(path, "version: 1");
  await assert.rejects(loadTrustConfig(path), { code: "CONFIG_SYNTAX" });
  await writeFile(path, JSON.stringify(validDocument()));
  assert.equal((await loadTrustConfig(path)).port, 4000);
});
