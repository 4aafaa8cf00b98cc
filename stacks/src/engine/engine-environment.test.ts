import assert from "node:assert/strict";
import { test } from "node:test";
import { parseBackend } from "./backend.ts";
import { engineEnvironment } from "./engine-environment.ts";
import type { EngineEnvironmentInput } from "./engine-environment.ts";

const USER = {
  PATH: "/usr/bin",
  HOME: "/home/u",
  HTTPS_PROXY: "http://proxy:3128",
  GOOGLE_APPLICATION_CREDENTIALS: "/home/u/key.json",
  ARM_CLIENT_SECRET: "azure's",
  AWS_SECRET_ACCESS_KEY: "amazon's",
  PULUMI_ACCESS_TOKEN: "pulumi's",
  PULUMI_CONFIG_PASSPHRASE: "another stack's",
  PULUMI_EXPERIMENTAL: "true",
  NPM_TOKEN: "npm's",
  DATABASE_URL: "postgres://me:secret@db",
  NODE_OPTIONS: "--inspect",
  EMPTY: undefined,
};

function environmentOf(changes: Partial<EngineEnvironmentInput>): Record<string, string> {
  return engineEnvironment({
    environment: USER,
    engine: { path: "/opt/pulumi/bin/pulumi", version: "3.259.0" },
    pulumiHome: "/home/u/.pulumi",
    backend: parseBackend("file:///home/u/.polaris/state"),
    secrets: { kind: "passphrase", file: "/home/u/.polaris/passphrase" },
    clouds: [],
    ...changes,
  });
}

test("without a cloud the engine has nobody's credentials", () => {
  assert.deepEqual(environmentOf({}), {
    PATH: "/opt/pulumi/bin:/usr/bin",
    HOME: "/home/u",
    HTTPS_PROXY: "http://proxy:3128",
    PULUMI_HOME: "/home/u/.pulumi",
    PULUMI_BACKEND_URL: "file:///home/u/.polaris/state",
    PULUMI_CONFIG_PASSPHRASE_FILE: "/home/u/.polaris/passphrase",
    PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER: "true",
    PULUMI_AUTOMATION_API: "true",
    PULUMI_SKIP_UPDATE_CHECK: "true",
    PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
  });
});

test("credentials go to the engine for the cloud that resources, state or secrets are in, and no other", () => {
  const OF_CLOUD = {
    google: "GOOGLE_APPLICATION_CREDENTIALS",
    azure: "ARM_CLIENT_SECRET",
    aws: "AWS_SECRET_ACCESS_KEY",
  };
  const all = [...Object.values(OF_CLOUD), "PULUMI_ACCESS_TOKEN"];
  for (const [changes, expected] of [
    [{ clouds: ["google"] }, [OF_CLOUD.google]],
    [{ clouds: ["azure"] }, [OF_CLOUD.azure]],
    [{ backend: parseBackend("gs://acme-state") }, [OF_CLOUD.google]],
    [{ backend: parseBackend("azblob://state") }, [OF_CLOUD.azure]],
    [{ backend: parseBackend("s3://acme-state"), clouds: ["google"] }, [OF_CLOUD.google, OF_CLOUD.aws]],
    [{ backend: parseBackend("https://api.pulumi.com") }, ["PULUMI_ACCESS_TOKEN"]],
    [{ secrets: { kind: "awskms", url: "awskms://alias/x" } }, [OF_CLOUD.aws]],
    [{ secrets: { kind: "azurekeyvault", url: "azurekeyvault://v" } }, [OF_CLOUD.azure]],
  ] as const) {
    const environment = environmentOf(changes);
    assert.deepEqual(
      all.filter((name) => name in environment),
      expected,
      JSON.stringify(changes),
    );
    for (const name of [
      "NPM_TOKEN",
      "DATABASE_URL",
      "NODE_OPTIONS",
      "PULUMI_CONFIG_PASSPHRASE",
      "PULUMI_EXPERIMENTAL",
    ]) {
      assert.ok(!(name in environment), name);
    }
  }
});

test("a key of a cloud encrypts without any passphrase", () => {
  const environment = environmentOf({ secrets: { kind: "gcpkms", url: "gcpkms://projects/p" } });
  assert.ok(!("PULUMI_CONFIG_PASSPHRASE_FILE" in environment));
});
