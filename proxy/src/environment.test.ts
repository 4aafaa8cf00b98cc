import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import {
  ENCRYPTION_MODES,
  LOG_LEVELS,
  PROXY_VARIABLES,
  formatProxyEnvironment,
  parseProxyEnvironment,
} from "./environment.ts";
import type { ProxySettings } from "./environment.ts";

const MINIMAL = { POLARIS_PROXY_WORKLOAD_URL: "http://127.0.0.1:8000" };

const GOOGLE = {
  ...MINIMAL,
  POLARIS_PROXY_KEY: "google-federated",
  POLARIS_PROXY_GOOGLE_PROJECT: "my-keys",
  POLARIS_PROXY_GOOGLE_LOCATION: "europe-west4",
  POLARIS_PROXY_GOOGLE_KEY_RING: "ring",
  POLARIS_PROXY_GOOGLE_KEY: "key",
  POLARIS_PROXY_GOOGLE_AUDIENCE:
    "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/pool/providers/attested",
};

const DEFAULTS: ProxySettings = {
  host: "0.0.0.0",
  port: 3000,
  workload: { url: "http://127.0.0.1:8000", timeoutMs: 60_000 },
  stack: "unnamed/default",
  encryption: { requests: "required", responses: "required" },
  headerNames: { url: "polaris-url", secure: "polaris-secure", responseKey: "polaris-response-public-key" },
  logLevel: "info",
  maxBodyBytes: 33_554_432,
  key: { kind: "ephemeral" },
};

function problemsOf(environment: Record<string, string>): readonly string[] {
  try {
    parseProxyEnvironment(environment);
  } catch (error) {
    assert.ok(error instanceof Error && "code" in error && "details" in error);
    assert.equal(error.code, "PROXY_ENVIRONMENT_INVALID");
    assert.ok(!error.message.includes("\n"), "one line");
    return (error.details as { problems: string[] }).problems;
  }
  return [];
}

test("an address of the workload is enough, and both directions are then encrypted", () => {
  assert.deepEqual(parseProxyEnvironment(MINIMAL), { settings: DEFAULTS, warnings: [] });
});

test("the google-federated key gets Google's own addresses and the token file of the original", () => {
  assert.deepEqual(parseProxyEnvironment(GOOGLE).settings.key, {
    kind: "google-federated",
    project: "my-keys",
    location: "europe-west4",
    keyRing: "ring",
    key: "key",
    keyVersion: 1,
    audience: GOOGLE.POLARIS_PROXY_GOOGLE_AUDIENCE,
    tokenFile: "/run/container_launcher/attestation_verifier_claims_token",
    stsUrl: "https://sts.googleapis.com",
    kmsUrl: "https://cloudkms.googleapis.com",
    iamCredentialsUrl: "https://iamcredentials.googleapis.com",
  });
});

const pathArbitrary = fc.stringMatching(/^\/[a-z]{1,8}(\/[a-z0-9]{1,8}){0,2}$/);
const nameArbitrary = fc.stringMatching(/^[a-z][a-z0-9]{2,10}$/);
const originArbitrary = fc.constantFrom("https://kms.example", "http://127.0.0.1:7100", "http://[::1]:7100");

const settingsArbitrary: fc.Arbitrary<ProxySettings> = fc.record(
  {
    host: fc.constantFrom("0.0.0.0", "::1", "localhost"),
    port: fc.nat(65_535),
    workload: fc.record(
      {
        url: fc.integer({ min: 1000, max: 65_535 }).map((port) => `http://127.0.0.1:${port}`),
        healthPath: pathArbitrary,
        timeoutMs: fc.integer({ min: 1, max: 3_600_000 }),
      },
      { requiredKeys: ["url", "timeoutMs"] },
    ),
    stack: fc.tuple(nameArbitrary, nameArbitrary).map((names) => names.join("/")),
    encryption: fc.record({
      requests: fc.constantFrom(...ENCRYPTION_MODES),
      responses: fc.constantFrom(...ENCRYPTION_MODES),
    }),
    headerNames: fc
      .uniqueArray(nameArbitrary, { minLength: 3, maxLength: 3 })
      .map((names) => ({ url: `x-${names[0]}`, secure: `x-${names[1]}`, responseKey: `x-${names[2]}` })),
    logLevel: fc.constantFrom(...LOG_LEVELS),
    maxBodyBytes: fc.integer({ min: 1, max: 268_435_456 }),
    tokenAgentSocket: pathArbitrary,
    key: fc.oneof(
      fc.constant({ kind: "ephemeral" } as const),
      fc.record(
        {
          kind: fc.constant("google-federated" as const),
          project: nameArbitrary,
          location: nameArbitrary,
          keyRing: nameArbitrary,
          key: nameArbitrary,
          keyVersion: fc.integer({ min: 1, max: 1_000_000 }),
          audience: nameArbitrary.map(
            (pool) =>
              `//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/${pool}/providers/p`,
          ),
          serviceAccount: nameArbitrary.map((account) => `${account}@p.iam.gserviceaccount.com`),
          tokenFile: pathArbitrary,
          stsUrl: originArbitrary,
          kmsUrl: originArbitrary,
          iamCredentialsUrl: originArbitrary,
        },
        {
          requiredKeys: [
            "kind",
            "project",
            "location",
            "keyRing",
            "key",
            "keyVersion",
            "audience",
            "tokenFile",
            "stsUrl",
            "kmsUrl",
            "iamCredentialsUrl",
          ],
        },
      ),
    ),
  },
  {
    requiredKeys: [
      "host",
      "port",
      "workload",
      "stack",
      "encryption",
      "headerNames",
      "logLevel",
      "maxBodyBytes",
      "key",
    ],
  },
);

test("what is written is read back to the same settings, without a warning", () => {
  fc.assert(
    fc.property(settingsArbitrary, (generated) => {
      // fast-check makes objects without a prototype, which deepEqual tells apart.
      const settings = structuredClone(generated);
      assert.deepEqual(parseProxyEnvironment(formatProxyEnvironment(settings)), { settings, warnings: [] });
    }),
    { numRuns: 200 },
  );
});

test("writing refuses settings that reading would refuse", () => {
  assert.throws(() => formatProxyEnvironment({ ...DEFAULTS, port: 70_000 }), {
    code: "PROXY_ENVIRONMENT_INVALID",
  });
  assert.throws(
    () => formatProxyEnvironment({ ...DEFAULTS, workload: { url: "http://h/path", timeoutMs: 1 } }),
    {
      code: "PROXY_ENVIRONMENT_INVALID",
    },
  );
});

test("every name of the original proxy is understood, each with a warning that names ours", () => {
  const original = {
    PORT: "3100",
    POLARIS_CONTAINER_WORKLOAD_BASE_URL: "http://localhost:8000/",
    POLARIS_CONTAINER_ENABLE_INPUT_ENCRYPTION: "true",
    POLARIS_CONTAINER_ENABLE_OUTPUT_ENCRYPTION: "false",
    POLARIS_CONTAINER_LOG_LEVEL: "debug",
    POLARIS_CONTAINER_URL_HEADER_KEY: "X-Url",
    POLARIS_CONTAINER_HEADER_KEY: "x-sec",
    POLARIS_CONTAINER_KEY_TYPE: "google-federated",
    POLARIS_CONTAINER_GOOGLE_FEDERATED_KEY_PROJECT_ID: "my-keys",
    POLARIS_CONTAINER_GOOGLE_FEDERATED_KEY_LOCATION: "global",
    POLARIS_CONTAINER_GOOGLE_FEDERATED_KEY_RING_ID: "ring",
    POLARIS_CONTAINER_GOOGLE_FEDERATED_KEY_ID: "key",
    POLARIS_CONTAINER_GOOGLE_FEDERATED_KEY_AUDIENCE: GOOGLE.POLARIS_PROXY_GOOGLE_AUDIENCE,
    POLARIS_CONTAINER_GOOGLE_FEDERATED_KEY__SERVICE_ACCOUNT: "k@my-keys.iam.gserviceaccount.com",
  };
  const { settings, warnings } = parseProxyEnvironment(original);
  assert.equal(settings.port, 3100);
  assert.equal(settings.workload.url, "http://localhost:8000");
  assert.deepEqual(settings.encryption, { requests: "required", responses: "off" });
  assert.equal(settings.logLevel, "debug");
  assert.equal(settings.key.kind, "google-federated");
  assert.equal(
    "serviceAccount" in settings.key && settings.key.serviceAccount,
    "k@my-keys.iam.gserviceaccount.com",
  );
  assert.equal(warnings.length, Object.keys(original).length);
  assert.ok(warnings.includes("PORT is the original proxy's name, set POLARIS_PROXY_PORT instead"));
});

test("input encryption is that of requests and output encryption that of responses", () => {
  const only = (name: string) => parseProxyEnvironment({ ...MINIMAL, [name]: "false" }).settings.encryption;
  assert.deepEqual(only("POLARIS_CONTAINER_ENABLE_INPUT_ENCRYPTION"), {
    requests: "off",
    responses: "required",
  });
  assert.deepEqual(only("POLARIS_CONTAINER_ENABLE_OUTPUT_ENCRYPTION"), {
    requests: "required",
    responses: "off",
  });
});

test("the original's header variable renames the secure header and nothing else", () => {
  const { settings } = parseProxyEnvironment({ ...MINIMAL, POLARIS_CONTAINER_HEADER_KEY: "x-sealed" });
  assert.deepEqual(settings.headerNames, { ...DEFAULTS.headerNames, secure: "x-sealed" });
});

test("the original's switched-off logging silences the log, whatever its level", () => {
  const { settings } = parseProxyEnvironment({
    ...MINIMAL,
    POLARIS_CONTAINER_ENABLE_LOGGING: "false",
    POLARIS_CONTAINER_LOG_LEVEL: "debug",
  });
  assert.equal(settings.logLevel, "silent");
});

test("the correctly spelt alias of the service account works too", () => {
  const { settings } = parseProxyEnvironment({
    ...GOOGLE,
    POLARIS_CONTAINER_GOOGLE_FEDERATED_KEY_SERVICE_ACCOUNT: "k@p.iam.gserviceaccount.com",
  });
  assert.equal(
    "serviceAccount" in settings.key && settings.key.serviceAccount,
    "k@p.iam.gserviceaccount.com",
  );
});

const REFUSALS: readonly [why: string, environment: Record<string, string>, problem: string][] = [
  ["nothing is set", {}, "POLARIS_PROXY_WORKLOAD_URL is required"],
  ["an empty value", { POLARIS_PROXY_WORKLOAD_URL: "" }, "POLARIS_PROXY_WORKLOAD_URL is required"],
  [
    "a misspelt name",
    { ...MINIMAL, POLARIS_PROXY_ENCRYPT_REQUEST: "off" },
    "POLARIS_PROXY_ENCRYPT_REQUEST is not known, did you mean POLARIS_PROXY_ENCRYPT_REQUESTS",
  ],
  [
    "a misspelt original name",
    { ...MINIMAL, POLARIS_CONTAINER_KEY_TIPE: "ephemeral" },
    "POLARIS_CONTAINER_KEY_TIPE is not known, did you mean POLARIS_CONTAINER_KEY_TYPE",
  ],
  [
    "a port that is none",
    { ...MINIMAL, POLARIS_PROXY_PORT: "65536" },
    'POLARIS_PROXY_PORT must be an integer from 0 to 65535, got "65536"',
  ],
  [
    "two names of one setting that differ",
    { ...MINIMAL, POLARIS_PROXY_PORT: "3000", PORT: "8080" },
    "POLARIS_PROXY_PORT and PORT mean the same setting and differ",
  ],
  [
    "an original switch that is neither yes nor no",
    { ...MINIMAL, POLARIS_CONTAINER_ENABLE_INPUT_ENCRYPTION: "1" },
    'POLARIS_CONTAINER_ENABLE_INPUT_ENCRYPTION must be true or false, got "1"',
  ],
  [
    "Google settings beside an ephemeral key",
    { ...GOOGLE, POLARIS_PROXY_KEY: "ephemeral" },
    'POLARIS_PROXY_GOOGLE_PROJECT, POLARIS_PROXY_GOOGLE_LOCATION, POLARIS_PROXY_GOOGLE_KEY_RING, POLARIS_PROXY_GOOGLE_KEY, POLARIS_PROXY_GOOGLE_AUDIENCE contradicts POLARIS_PROXY_KEY, which is "ephemeral"',
  ],
  [
    "a Google key without a project",
    { ...GOOGLE, POLARIS_PROXY_GOOGLE_PROJECT: "" },
    "POLARIS_PROXY_GOOGLE_PROJECT is required",
  ],
  [
    "a key kind of a later version",
    { ...MINIMAL, POLARIS_CONTAINER_KEY_TYPE: "azure-skr" },
    "POLARIS_PROXY_KEY azure-skr is not available in this version",
  ],
  [
    "a setting of a later version",
    { ...MINIMAL, POLARIS_CONTAINER_AZURE_SKR_ACCESS_TOKEN: "planted-secret" },
    "POLARIS_CONTAINER_AZURE_SKR_ACCESS_TOKEN: azure-skr is not available in this version",
  ],
  [
    "CORS",
    { ...MINIMAL, POLARIS_CONTAINER_ENABLE_CORS: "true" },
    "POLARIS_CONTAINER_ENABLE_CORS: CORS is not available in this version",
  ],
  [
    "two headers of one name",
    { ...MINIMAL, POLARIS_PROXY_URL_HEADER: "x", POLARIS_PROXY_SECURE_HEADER: "X" },
    "the three header names must differ, got x, x, polaris-response-public-key",
  ],
  [
    "a header with a meaning of its own",
    { ...MINIMAL, POLARIS_PROXY_URL_HEADER: "Host" },
    "header host has a meaning of its own, it cannot carry a sealed part",
  ],
  [
    "tokens over the network in clear",
    { ...GOOGLE, POLARIS_PROXY_GOOGLE_KMS_URL: "http://kms.example" },
    'POLARIS_PROXY_GOOGLE_KMS_URL must be an address of the form https://host (http only for 127.0.0.1, [::1] or localhost), got "http://kms.example"',
  ],
  [
    "a workload address with a path",
    { POLARIS_PROXY_WORKLOAD_URL: "http://127.0.0.1:8000/api" },
    'POLARIS_PROXY_WORKLOAD_URL must be an address of the form http://host:port, got "http://127.0.0.1:8000/api"',
  ],
];

for (const [why, environment, problem] of REFUSALS) {
  test(`refuses ${why}`, () => assert.deepEqual(problemsOf(environment), [problem]));
}

test("repeats no value that may be a URL with a password, whichever variable it is in", () => {
  const secretUrl = `https://user:${"planted".repeat(20)}@host.example`;
  const bare = "planted@host.example";
  const names = PROXY_VARIABLES.flatMap(({ name, originals = [] }) => [
    name,
    ...originals.map((original) => original.name),
  ]);
  for (const name of names) {
    for (const value of [secretUrl, bare]) {
      const problems = problemsOf({ ...GOOGLE, [name]: value });
      assert.ok(!problems.join().includes("planted"), problems.join());
      const isAddress = value === bare && name.endsWith("SERVICE_ACCOUNT");
      assert.equal(problems.length === 0, isAddress, name);
    }
  }
  assert.deepEqual(problemsOf({ POLARIS_PROXY_WORKLOAD_URL: secretUrl }), [
    "POLARIS_PROXY_WORKLOAD_URL must be an address of the form http://host:port, got a value with an @, not shown as it may hold a password",
  ]);
});

test("reports all problems at once", () => {
  assert.equal(problemsOf({ POLARIS_PROXY_PORT: "x", POLARIS_PROXY_COLOUR: "red" }).length, 3);
});

test("leaves the variables of others alone, those of the command line too", () => {
  assert.deepEqual(problemsOf({ ...MINIMAL, POLARIS_STACK: "dev", HOME: "/root" }), []);
});

test("every variable is described, and its example is valid", () => {
  for (const variable of PROXY_VARIABLES) {
    assert.match(variable.description, /\.$/);
    const base = variable.keyKind === "google-federated" ? GOOGLE : MINIMAL;
    const environment = { ...GOOGLE, ...base, [variable.name]: variable.example };
    assert.deepEqual(problemsOf(environment), [], variable.name);
  }
});
