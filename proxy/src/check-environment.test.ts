import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { checkEnvironment } from "./check-environment.ts";
import { parseProxyEnvironment } from "./environment.ts";
import { NO_EXPIRATION, createSelfSignedCertificate } from "./self-signed-certificate.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "polaris-check-"));
  await writeFile(join(folder, "tls.crt"), createSelfSignedCertificate(keys, Date.now()));
  const keyPem = keys.privateKey.export({ type: "pkcs8", format: "pem" });
  await writeFile(join(folder, "tls.key"), keyPem, { mode: 0o600 });
});
after(() => rm(folder, { recursive: true }));

const check = (environment: Record<string, string>, nowMs?: number) => {
  const { settings, warnings } = parseProxyEnvironment({
    POLARIS_PROXY_WORKLOAD_URL: "http://127.0.0.1:8000",
    ...environment,
  });
  return checkEnvironment(settings, warnings, nowMs);
};

const tlsFiles = () => ({
  POLARIS_PROXY_TLS: "files",
  POLARIS_PROXY_TLS_CERTIFICATE: join(folder, "tls.crt"),
  POLARIS_PROXY_TLS_KEY: join(folder, "tls.key"),
  // Something is there, which is all that is looked at.
  POLARIS_PROXY_TOKEN_AGENT_SOCKET: join(folder, "tls.crt"),
});

test("names settings as they are read, by our names, and leaves out the defaults", async () => {
  const { lines, warnings } = await check({
    POLARIS_CONTAINER_ENABLE_CORS: "true",
    POLARIS_PROXY_LOG_LEVEL: "info",
    POLARIS_PROXY_MAX_REQUESTS: "7",
  });
  assert.deepEqual(lines, [
    "POLARIS_PROXY_WORKLOAD_URL=http://127.0.0.1:8000",
    "POLARIS_PROXY_CORS_ORIGINS=*",
    "POLARIS_PROXY_MAX_REQUESTS=7",
  ]);
  assert.deepEqual(warnings, [
    "POLARIS_CONTAINER_ENABLE_CORS is the original proxy's name, set POLARIS_PROXY_CORS_ORIGINS instead",
    "POLARIS_PROXY_TOKEN_AGENT_SOCKET is not set: clients have to take the public key on trust",
  ]);
});

test("what it prints is an environment of the same settings", async () => {
  const environment = { ...tlsFiles(), POLARIS_PROXY_METRICS_PORT: "9464", POLARIS_PROXY_STACK: "a/b" };
  const { lines } = await check(environment);
  const printed = Object.fromEntries(lines.map((line) => line.split("=") as [string, string]));
  assert.deepEqual(parseProxyEnvironment(printed), {
    ...parseProxyEnvironment({ POLARIS_PROXY_WORKLOAD_URL: "http://127.0.0.1:8000", ...environment }),
  });
});

test("warns of a token agent and a token file that are not there yet", async () => {
  const { warnings } = await check({
    POLARIS_PROXY_TOKEN_AGENT_SOCKET: "/nonexistent/token-agent.sock",
    POLARIS_PROXY_KEY: "google-federated",
    POLARIS_PROXY_GOOGLE_PROJECT: "my-keys",
    POLARIS_PROXY_GOOGLE_LOCATION: "global",
    POLARIS_PROXY_GOOGLE_KEY_RING: "ring",
    POLARIS_PROXY_GOOGLE_KEY: "key",
    POLARIS_PROXY_GOOGLE_AUDIENCE:
      "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/pool/providers/attested",
    POLARIS_PROXY_GOOGLE_TOKEN_FILE: "/nonexistent/token",
  });
  assert.deepEqual(warnings, [
    "no token agent is at /nonexistent/token-agent.sock yet",
    "the folder of the token file /nonexistent/token is not there yet",
  ]);
});

test("warns of a TLS key that others can open, and of a certificate that ends soon", async () => {
  assert.deepEqual((await check(tlsFiles())).warnings, []);
  await chmod(join(folder, "tls.key"), 0o604);
  assert.deepEqual((await check(tlsFiles(), NO_EXPIRATION.getTime() - 13 * DAY_MS)).warnings, [
    `the certificate in ${join(folder, "tls.crt")} expires at ${NO_EXPIRATION.toISOString()}`,
    `every user of this machine can open ${join(folder, "tls.key")}`,
  ]);
  await chmod(join(folder, "tls.key"), 0o600);
  assert.deepEqual((await check(tlsFiles(), NO_EXPIRATION.getTime() - 15 * DAY_MS)).warnings, []);
});

test("refuses TLS files that a start would refuse", async () => {
  await assert.rejects(check({ ...tlsFiles(), POLARIS_PROXY_TLS_KEY: join(folder, "tls.crt") }), {
    code: "TLS_FILES_INVALID",
  });
  await assert.rejects(check(tlsFiles(), NO_EXPIRATION.getTime() + DAY_MS), { code: "TLS_FILES_INVALID" });
});
