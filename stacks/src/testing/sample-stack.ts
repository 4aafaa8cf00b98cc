/** For tests: one stack with a different value in every field, so that no two can be mistaken for each other. */
import { parseConfig } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { stackPaths } from "../local/stack-paths.ts";
import type { LocalState } from "../local/state.ts";
import type { DeployedStack, LockFile, StackLock } from "../lock-file/schema.ts";

const FILES_SHA256 = `sha256:${"1f".repeat(32)}`;

export const samplePaths = stackPaths("/home/someone/shop", "staging");

export const sampleState: LocalState = {
  version: 1,
  name: "shop",
  stack: "staging",
  ports: { trust: 40_001, workload: 40_002, proxy: 40_003 },
  scheme: "http",
};

export const sampleLock: StackLock = {
  target: "local",
  suffix: "q7w8e9",
  names: {
    keyRing: "ring-q7w8e9",
    key: "key-q7w8e9",
    pool: "pool-q7w8e9",
    provider: "provider-q7w8e9",
    instance: "instance-q7w8e9",
    serviceAccount: "account-q7w8e9",
  },
  projectId: "polaris-local-q7w8e9",
  projectNumber: "123456789012",
  instanceId: "9876543210987654321",
  zone: "local-a",
  workload: { kind: "process", run: ["node", "locked.js"], files: { sha256: FILES_SHA256, count: 3 } },
  policy: { condition: "false", sha256: `sha256:${"2e".repeat(32)}` },
};

export const sampleDeployment: DeployedStack = {
  target: "local",
  endpoint: "http://127.0.0.1:40003",
  encryption: { requests: "required", responses: "optional" },
  tls: "unbound",
  onDestroy: "keep",
  publicKeyFingerprint: `sha256:${"3d".repeat(32)}`,
  keyVersion: "projects/p/locations/local/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
  // Not the one of sampleLock: what is expected has to come from there.
  instanceId: "1111111111111111111",
  issuer: "http://127.0.0.1:40001/issuer",
  jwks: { keys: [{ kty: "RSA", n: "AQAB", e: "AQAB", kid: "the-issuer" }] },
  workload: FILES_SHA256,
  deployedAt: "2026-01-02T03:04:05.000Z",
};

export function sampleLockFile(deployed: Partial<DeployedStack> = {}): LockFile {
  return {
    version: 1,
    name: "shop",
    stacks: { staging: sampleLock },
    deployed: { staging: { ...sampleDeployment, ...deployed } },
  };
}

/** polaris.yaml of the sample; `lines` are added to it. */
export function sampleConfig(...lines: readonly string[]): Config {
  const text = [
    "version: 1",
    "name: shop",
    "targets: { local: { run: [node, server.js, --verbose] } }",
    ...lines,
    "",
  ].join("\n");
  return parseConfig(text, { fileName: "polaris.yaml" }).config;
}
