import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { planStack } from "../plan.ts";
import type { Plan } from "../plan.ts";
import { sampleConfig, sampleLock, samplePaths, sampleState } from "../testing/sample-stack.ts";
import { sampleImagePlan } from "../testing/sample-image.ts";
import { planPartConfigs } from "./part-configs.ts";
import { parseTokenAgentConfig } from "./token-agent/config.ts";
import { parseTrustConfig } from "./trust/config.ts";

const POOL = "iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/pool-q7w8e9";
const SERVICE_ACCOUNT = "account-q7w8e9@polaris-local-q7w8e9.iam.gserviceaccount.com";
const CREDENTIALS = {
  machine: "planted-machine-credential",
  administrator: "planted-administrator-credential",
};

const hsmPlan = planStack(sampleConfig(), "staging", sampleLock);
const ephemeralPlan = planStack(sampleConfig("key: { kind: ephemeral }"), "staging", sampleLock);

const configsOf = (plan: Plan): ReturnType<typeof planPartConfigs> =>
  planPartConfigs(plan, samplePaths, sampleState, CREDENTIALS);
const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

test("the trust services get exactly one machine, one administrator, one provider and one key", () => {
  assert.deepEqual(parseTrustConfig(JSON.parse(configsOf(hsmPlan).trust)), {
    version: 1,
    port: 40_001,
    socket: null,
    stateDir: samplePaths.trustDir,
    machines: [
      {
        credentialSha256: sha256(CREDENTIALS.machine),
        projectId: "polaris-local-q7w8e9",
        projectNumber: "123456789012",
        zone: "local-a",
        instanceName: "instance-q7w8e9",
        instanceId: "9876543210987654321",
        serviceAccount: SERVICE_ACCOUNT,
      },
    ],
    administrators: [
      {
        credentialSha256: sha256(CREDENTIALS.administrator),
        email: "deployer@polaris-local-q7w8e9.local",
      },
    ],
    workloadIdentity: {
      projectNumber: "123456789012",
      pools: [
        {
          id: "pool-q7w8e9",
          disabled: false,
          providers: [
            {
              id: "provider-q7w8e9",
              disabled: false,
              issuerUri: "self",
              allowedAudiences: [],
              attributeMapping: {
                "google.subject":
                  "'gcpcvm::' + assertion.submods.gce.project_number + '::' + assertion.submods.gce.instance_id",
              },
              attributeCondition: hsmPlan.keyPolicy.condition,
            },
          ],
        },
      ],
    },
    serviceAccounts: [],
    kms: {
      project: "polaris-local-q7w8e9",
      location: "local",
      keyRings: [
        {
          id: "ring-q7w8e9",
          cryptoKeys: [
            {
              id: "key-q7w8e9",
              bindings: [
                {
                  role: "roles/cloudkms.cryptoKeyDecrypter",
                  members: [`principal://${POOL}/subject/gcpcvm::123456789012::9876543210987654321`],
                },
                {
                  role: "roles/cloudkms.publicKeyViewer",
                  members: [`principal://${POOL}/subject/gcpcvm::123456789012::9876543210987654321`],
                },
              ],
            },
          ],
        },
      ],
    },
  });
});

test("the token agent keeps a token for the provider alone, for the proxy of a key of the key service", () => {
  assert.deepEqual(parseTokenAgentConfig(JSON.parse(configsOf(hsmPlan).tokenAgent)), {
    version: 1,
    issuerUrl: "http://127.0.0.1:40001/issuer",
    credentialFile: samplePaths.machineCredential,
    stsAudience: `//${POOL}/providers/provider-q7w8e9`,
    tokenFile: samplePaths.tokenFile,
    refreshMs: 40 * 60_000,
    socketPath: samplePaths.tokenAgentSocket,
    group: null,
  });
});

test("for a proxy in a container both listen at sockets of one folder, which its group may use", () => {
  const configs = planPartConfigs(sampleImagePlan(), samplePaths, sampleState, CREDENTIALS, 65_532);
  const { socketPath, group } = parseTokenAgentConfig(JSON.parse(configs.tokenAgent));
  const { socket } = parseTrustConfig(JSON.parse(configs.trust));
  assert.deepEqual([socketPath, group], [`${samplePaths.socketDir}/services/token-agent.sock`, 65_532]);
  assert.deepEqual(socket, { path: `${samplePaths.socketDir}/services/trust.sock`, group: 65_532 });
});

test("with an ephemeral key there is no key in the key service and no token to exchange", () => {
  const configs = configsOf(ephemeralPlan);
  assert.deepEqual(parseTrustConfig(JSON.parse(configs.trust)).kms.keyRings, []);
  const { stsAudience, tokenFile } = parseTokenAgentConfig(JSON.parse(configs.tokenAgent));
  assert.deepEqual([stsAudience, tokenFile], [null, null]);
});

test("no credential stands in a configuration file in the clear", () => {
  for (const plan of [hsmPlan, ephemeralPlan]) {
    const { trust, tokenAgent } = configsOf(plan);
    for (const credential of Object.values(CREDENTIALS)) {
      assert.ok(!trust.includes(credential));
      assert.ok(!tokenAgent.includes(credential));
    }
    assert.ok(!tokenAgent.includes(sha256(CREDENTIALS.machine)));
  }
});

test("a file ends with a line feed and is the same for the same plan", () => {
  assert.deepEqual(configsOf(hsmPlan), configsOf(hsmPlan));
  for (const text of Object.values(configsOf(hsmPlan))) assert.ok(text.endsWith("}\n"));
});
