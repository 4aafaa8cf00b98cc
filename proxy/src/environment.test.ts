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
  limits: {
    maxHeaderBytes: 65_536,
    maxBodyBytes: 33_554_432,
    maxBufferedBytes: 268_435_456,
    maxConnections: 4096,
    maxRequests: 1024,
    maxQueuedUnwraps: 256,
    headersTimeoutMs: 10_000,
    bodyTimeoutMs: 120_000,
    idleTimeoutMs: 60_000,
    shutdownTimeoutMs: 10_000,
  },
  cors: { origins: [] },
  tls: { mode: "off" },
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
    olderKeyVersions: [],
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

const portArbitrary = fc.nat(65_535);
const timeoutArbitrary = fc.integer({ min: 100, max: 600_000 });
const bodyBytesArbitrary = fc.integer({ min: 1, max: 268_435_456 });
const keyVersionArbitrary = fc.integer({ min: 1, max: 1_000_000 });

const limitsArbitrary = fc
  .record({
    maxHeaderBytes: fc.integer({ min: 16_384, max: 1_048_576 }),
    maxBodyBytes: bodyBytesArbitrary,
    maxBufferedBytes: fc.integer({ min: 1_048_576, max: 68_719_476_736 }),
    maxConnections: fc.integer({ min: 1, max: 1_000_000 }),
    maxRequests: fc.integer({ min: 1, max: 1_000_000 }),
    maxQueuedUnwraps: fc.integer({ min: 6, max: 100_000 }),
    headersTimeoutMs: timeoutArbitrary,
    bodyTimeoutMs: timeoutArbitrary,
    idleTimeoutMs: timeoutArbitrary,
    shutdownTimeoutMs: fc.integer({ min: 0, max: 600_000 }),
  })
  .map((limits) => ({ ...limits, maxBodyBytes: Math.min(limits.maxBodyBytes, limits.maxBufferedBytes) }));

const googleKeyArbitrary = fc
  .record(
    {
      kind: fc.constant("google-federated" as const),
      project: nameArbitrary,
      location: nameArbitrary,
      keyRing: nameArbitrary,
      key: nameArbitrary,
      keyVersions: fc.uniqueArray(keyVersionArbitrary, { minLength: 1, maxLength: 11 }),
      audience: nameArbitrary.map(
        (pool) =>
          `//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/${pool}/providers/p`,
      ),
      serviceAccount: fc.option(
        nameArbitrary.map((account) => `${account}@p.iam.gserviceaccount.com`),
        { nil: undefined },
      ),
      tokenFile: pathArbitrary,
      stsUrl: originArbitrary,
      kmsUrl: originArbitrary,
      iamCredentialsUrl: originArbitrary,
    },
    { noNullPrototype: true },
  )
  .map(({ keyVersions: [keyVersion = 1, ...olderKeyVersions], serviceAccount, ...key }) => ({
    ...key,
    keyVersion,
    olderKeyVersions,
    ...(serviceAccount !== undefined && { serviceAccount }),
  }));

const settingsArbitrary: fc.Arbitrary<ProxySettings> = fc
  .record(
    {
      host: fc.constantFrom("0.0.0.0", "::1", "localhost"),
      port: portArbitrary,
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
      limits: limitsArbitrary,
      cors: fc.record({
        origins: fc.oneof(fc.constant(["*"]), fc.uniqueArray(originArbitrary, { maxLength: 3 })),
      }),
      tls: fc.oneof(
        fc.constantFrom({ mode: "off" } as const, { mode: "attested" } as const),
        fc.record({
          mode: fc.constant("files" as const),
          certificateFile: pathArbitrary,
          keyFile: pathArbitrary,
        }),
      ),
      metricsPort: portArbitrary,
      tokenAgentSocket: pathArbitrary.map((path) => `/run${path}/token-agent.sock`),
      workloadKeyApiSocket: pathArbitrary.map((path) => `/run${path}/key-api.sock`),
      workloadKeyApiAccess: fc.constantFrom("owner" as const, "mounted" as const),
      key: fc.oneof(fc.constant({ kind: "ephemeral" } as const), googleKeyArbitrary),
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
        "limits",
        "cors",
        "tls",
        "key",
      ],
    },
  )
  .filter(
    ({ port, metricsPort, tls, tokenAgentSocket, key, workloadKeyApiSocket, workloadKeyApiAccess }) =>
      (metricsPort !== port || port === 0) &&
      (tls.mode !== "attested" || tokenAgentSocket !== undefined) &&
      (key.kind !== "ephemeral" || workloadKeyApiSocket === undefined) &&
      (workloadKeyApiAccess === undefined) === (workloadKeyApiSocket === undefined),
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
  assert.throws(
    () =>
      formatProxyEnvironment({
        ...DEFAULTS,
        tls: { mode: "files", certificateFile: "/run/tls.crt", keyFile: "" },
      }),
    { code: "PROXY_ENVIRONMENT_INVALID" },
  );
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

test("the original's CORS switch means every origin, or what is the default anyhow", () => {
  assert.deepEqual(parseProxyEnvironment({ ...MINIMAL, POLARIS_CONTAINER_ENABLE_CORS: "true" }), {
    settings: { ...DEFAULTS, cors: { origins: ["*"] } },
    warnings: [
      "POLARIS_CONTAINER_ENABLE_CORS is the original proxy's name, set POLARIS_PROXY_CORS_ORIGINS instead",
    ],
  });
  assert.deepEqual(parseProxyEnvironment({ ...MINIMAL, POLARIS_CONTAINER_ENABLE_CORS: "false" }), {
    settings: DEFAULTS,
    warnings: ["POLARIS_CONTAINER_ENABLE_CORS=false is the original proxy's name and the default here"],
  });
});

test("origins are taken as browsers send them, with blanks around the commas", () => {
  const origins = (text: string) =>
    parseProxyEnvironment({ ...MINIMAL, POLARIS_PROXY_CORS_ORIGINS: text }).settings.cors.origins;
  assert.deepEqual(origins("https://a.example , http://localhost:5173"), [
    "https://a.example",
    "http://localhost:5173",
  ]);
  assert.deepEqual(origins(" * "), ["*"]);
  assert.deepEqual(origins(" "), []);
});

const TLS_FILES = {
  POLARIS_PROXY_TLS: "files",
  POLARIS_PROXY_TLS_CERTIFICATE: "/run/secrets/tls.crt",
  POLARIS_PROXY_TLS_KEY: "/run/secrets/tls.key",
};
const TOKEN_AGENT = { POLARIS_PROXY_TOKEN_AGENT_SOCKET: "/run/polaris/token-agent.sock" };

test("TLS comes from a key of the proxy's own, or from two files", () => {
  const tlsOf = (environment: Record<string, string>) =>
    parseProxyEnvironment({ ...MINIMAL, ...environment }).settings.tls;
  assert.deepEqual(tlsOf({ POLARIS_PROXY_TLS: "attested", ...TOKEN_AGENT }), { mode: "attested" });
  assert.deepEqual(tlsOf(TLS_FILES), {
    mode: "files",
    certificateFile: "/run/secrets/tls.crt",
    keyFile: "/run/secrets/tls.key",
  });
});

test("a variable for each limit, and none of them sets another", () => {
  const values: Record<string, [keyof ProxySettings["limits"], number]> = {
    POLARIS_PROXY_MAX_HEADER_BYTES: ["maxHeaderBytes", 131_072],
    POLARIS_PROXY_MAX_BODY_BYTES: ["maxBodyBytes", 1_000_000],
    POLARIS_PROXY_MAX_BUFFERED_BYTES: ["maxBufferedBytes", 40_000_000],
    POLARIS_PROXY_MAX_CONNECTIONS: ["maxConnections", 11],
    POLARIS_PROXY_MAX_REQUESTS: ["maxRequests", 12],
    POLARIS_PROXY_MAX_QUEUED_UNWRAPS: ["maxQueuedUnwraps", 13],
    POLARIS_PROXY_HEADERS_TIMEOUT_MS: ["headersTimeoutMs", 1014],
    POLARIS_PROXY_BODY_TIMEOUT_MS: ["bodyTimeoutMs", 1015],
    POLARIS_PROXY_IDLE_TIMEOUT_MS: ["idleTimeoutMs", 1016],
    POLARIS_PROXY_SHUTDOWN_TIMEOUT_MS: ["shutdownTimeoutMs", 1017],
  };
  assert.deepEqual(
    Object.values(values).map(([limit]) => limit),
    Object.keys(DEFAULTS.limits),
  );
  for (const [name, [limit, value]] of Object.entries(values)) {
    const { limits } = parseProxyEnvironment({ ...MINIMAL, [name]: String(value) }).settings;
    assert.deepEqual(limits, { ...DEFAULTS.limits, [limit]: value }, name);
  }
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
    "an original CORS switch that is neither yes nor no",
    { ...MINIMAL, POLARIS_CONTAINER_ENABLE_CORS: "*" },
    'POLARIS_CONTAINER_ENABLE_CORS must be true or false, got "*"',
  ],
  [
    "two names of CORS that differ",
    { ...MINIMAL, POLARIS_CONTAINER_ENABLE_CORS: "true", POLARIS_PROXY_CORS_ORIGINS: "https://a.example" },
    "POLARIS_PROXY_CORS_ORIGINS and POLARIS_CONTAINER_ENABLE_CORS mean the same setting and differ",
  ],
  ...["*,https://a.example", "https://a.example,https://a.example", "https://a.example/", "a.example"].map(
    (origins): [string, Record<string, string>, string] => [
      `the origins ${origins}`,
      { ...MINIMAL, POLARIS_PROXY_CORS_ORIGINS: origins },
      `POLARIS_PROXY_CORS_ORIGINS must be *, or different origins of the form https://host, between commas, got "${origins}"`,
    ],
  ),
  [
    "TLS from files without a word which",
    { ...MINIMAL, POLARIS_PROXY_TLS: "files", POLARIS_PROXY_TLS_CERTIFICATE: "/run/tls.crt" },
    "POLARIS_PROXY_TLS_KEY is required with POLARIS_PROXY_TLS=files",
  ],
  [
    "files for TLS that is off",
    { ...MINIMAL, POLARIS_PROXY_TLS_KEY: "/run/tls.key" },
    'POLARIS_PROXY_TLS_KEY contradicts POLARIS_PROXY_TLS, which is "off"',
  ],
  [
    "files for attested TLS",
    { ...MINIMAL, ...TLS_FILES, ...TOKEN_AGENT, POLARIS_PROXY_TLS: "attested", POLARIS_PROXY_TLS_KEY: "" },
    'POLARIS_PROXY_TLS_CERTIFICATE contradicts POLARIS_PROXY_TLS, which is "attested"',
  ],
  [
    "attested TLS that nobody could attest",
    { ...MINIMAL, POLARIS_PROXY_TLS: "attested" },
    "POLARIS_PROXY_TLS=attested needs POLARIS_PROXY_TOKEN_AGENT_SOCKET: without evidence nobody can tell whose certificate it is",
  ],
  [
    "a relative path of a TLS file",
    { ...MINIMAL, ...TLS_FILES, POLARIS_PROXY_TLS_KEY: "tls.key" },
    'POLARIS_PROXY_TLS_KEY must be an absolute path, got "tls.key"',
  ],
  [
    "keys of sealed data that are gone at the next start",
    { ...MINIMAL, POLARIS_PROXY_WORKLOAD_KEY_API_SOCKET: "/run/key-api.sock" },
    "POLARIS_PROXY_WORKLOAD_KEY_API_SOCKET needs a permanent key: data sealed to an ephemeral one is lost at the next start",
  ],
  [
    "a socket for everybody who has its folder, and no folder",
    { ...GOOGLE, POLARIS_PROXY_WORKLOAD_KEY_API_ACCESS: "mounted" },
    "POLARIS_PROXY_WORKLOAD_KEY_API_ACCESS=mounted needs POLARIS_PROXY_WORKLOAD_KEY_API_SOCKET",
  ],
  [
    "one socket for two",
    { ...GOOGLE, ...TOKEN_AGENT, POLARIS_PROXY_WORKLOAD_KEY_API_SOCKET: "/run/polaris/token-agent.sock" },
    "POLARIS_PROXY_WORKLOAD_KEY_API_SOCKET must not be POLARIS_PROXY_TOKEN_AGENT_SOCKET",
  ],
  [
    "a path that is too long for a socket",
    { ...MINIMAL, POLARIS_PROXY_TOKEN_AGENT_SOCKET: `/${"s".repeat(103)}` },
    `POLARIS_PROXY_TOKEN_AGENT_SOCKET must be an absolute path of at most 103 bytes, got "/${"s".repeat(59)}"`,
  ],
  [
    "metrics on the port of the endpoint",
    { ...MINIMAL, POLARIS_PROXY_METRICS_PORT: "3000" },
    "POLARIS_PROXY_METRICS_PORT must not be POLARIS_PROXY_PORT: metrics are for this machine only",
  ],
  [
    "less memory for all bodies than for one",
    { ...MINIMAL, POLARIS_PROXY_MAX_BUFFERED_BYTES: "1048576" },
    "POLARIS_PROXY_MAX_BUFFERED_BYTES must not be less than POLARIS_PROXY_MAX_BODY_BYTES",
  ],
  [
    "an older version that is the newest one",
    { ...GOOGLE, POLARIS_PROXY_GOOGLE_KEY_VERSION: "3", POLARIS_PROXY_GOOGLE_OLDER_KEY_VERSIONS: "1,3" },
    "POLARIS_PROXY_GOOGLE_OLDER_KEY_VERSIONS must not hold POLARIS_PROXY_GOOGLE_KEY_VERSION",
  ],
  ...["2,2", "0", "1;2", "2,3,4,5,6,7,8,9,10,11,12"].map(
    (versions): [string, Record<string, string>, string] => [
      `the older versions ${versions}`,
      { ...GOOGLE, POLARIS_PROXY_GOOGLE_OLDER_KEY_VERSIONS: versions },
      `POLARIS_PROXY_GOOGLE_OLDER_KEY_VERSIONS must be up to 10 different integers from 1 to 1000000, between commas, got "${versions}"`,
    ],
  ),
  [
    "two headers of one name",
    { ...MINIMAL, POLARIS_PROXY_URL_HEADER: "x", POLARIS_PROXY_SECURE_HEADER: "X" },
    "the three header names must differ, got x, x, polaris-response-public-key",
  ],
  ...["Host", "Polaris-Key-Id"].map((name): [string, Record<string, string>, string] => [
    `the header ${name} for something else`,
    { ...MINIMAL, POLARIS_PROXY_URL_HEADER: name },
    `header ${name.toLowerCase()} has a meaning of its own, it cannot carry a sealed part`,
  ]),
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

/** Smallest and greatest value of every variable that is a number. */
const BOUNDS: Readonly<Record<string, readonly [min: number, max: number]>> = {
  POLARIS_PROXY_PORT: [0, 65_535],
  POLARIS_PROXY_WORKLOAD_TIMEOUT_MS: [1, 3_600_000],
  POLARIS_PROXY_MAX_HEADER_BYTES: [16_384, 1_048_576],
  POLARIS_PROXY_MAX_BODY_BYTES: [1, 268_435_456],
  POLARIS_PROXY_MAX_BUFFERED_BYTES: [1_048_576, 68_719_476_736],
  POLARIS_PROXY_MAX_CONNECTIONS: [1, 1_000_000],
  POLARIS_PROXY_MAX_REQUESTS: [1, 1_000_000],
  POLARIS_PROXY_MAX_QUEUED_UNWRAPS: [6, 100_000],
  POLARIS_PROXY_HEADERS_TIMEOUT_MS: [100, 600_000],
  POLARIS_PROXY_BODY_TIMEOUT_MS: [100, 3_600_000],
  POLARIS_PROXY_IDLE_TIMEOUT_MS: [100, 3_600_000],
  POLARIS_PROXY_SHUTDOWN_TIMEOUT_MS: [0, 600_000],
  POLARIS_PROXY_METRICS_PORT: [0, 65_535],
  POLARIS_PROXY_GOOGLE_KEY_VERSION: [1, 1_000_000],
};

test("every number has a smallest and a greatest value, both of them allowed", () => {
  const numbers = PROXY_VARIABLES.filter(({ expected }) => expected.startsWith("an integer"));
  assert.deepEqual(
    numbers.map(({ name }) => name),
    Object.keys(BOUNDS),
  );
  for (const [name, [min, max]] of Object.entries(BOUNDS)) {
    // A small body, so that no limit of all bodies together is too small for it.
    const base = { ...GOOGLE, POLARIS_PROXY_MAX_BODY_BYTES: "1" };
    for (const value of [min, max])
      assert.deepEqual(problemsOf({ ...base, [name]: String(value) }), [], name);
    for (const value of [min - 1, max + 1, `0${max}`, `${min}.0`, ` ${min}`]) {
      assert.deepEqual(
        problemsOf({ ...base, [name]: String(value) }),
        [`${name} must be an integer from ${min} to ${max}, got ${JSON.stringify(String(value))}`],
        name,
      );
    }
  }
});

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

/** Services of this machine in place of Google's. */
const LOCAL_ORIGINS: Readonly<Record<string, string>> = {
  POLARIS_PROXY_GOOGLE_STS_URL: "http://127.0.0.1:7100",
  POLARIS_PROXY_GOOGLE_KMS_URL: "http://127.0.0.1:7100",
  POLARIS_PROXY_GOOGLE_IAM_CREDENTIALS_URL: "http://127.0.0.1:7100",
};

test("a socket of local services is taken only where no origin is Google's, so that it gets no real token", () => {
  const socket = { POLARIS_PROXY_GOOGLE_LOCAL_SERVICES_SOCKET: "/run/trust.sock" };
  const { key } = parseProxyEnvironment({ ...GOOGLE, ...LOCAL_ORIGINS, ...socket }).settings;
  assert.equal(key.kind === "google-federated" && key.localServicesSocket, "/run/trust.sock");
  for (const name of Object.keys(LOCAL_ORIGINS)) {
    const { [name]: _real, ...others } = LOCAL_ORIGINS;
    assert.deepEqual(problemsOf({ ...GOOGLE, ...others, ...socket }), [
      "POLARIS_PROXY_GOOGLE_LOCAL_SERVICES_SOCKET is for simulated services: all three origins must be http to this machine",
    ]);
  }
  assert.match(problemsOf({ ...MINIMAL, ...socket }).join(), /contradicts POLARIS_PROXY_KEY/);
});

/** What else has to be set for some variables to make sense. */
const COMPANIONS: Readonly<Record<string, Record<string, string>>> = {
  POLARIS_PROXY_TLS: TOKEN_AGENT,
  POLARIS_PROXY_TLS_CERTIFICATE: TLS_FILES,
  POLARIS_PROXY_TLS_KEY: TLS_FILES,
  POLARIS_PROXY_WORKLOAD_KEY_API_ACCESS: {
    POLARIS_PROXY_WORKLOAD_KEY_API_SOCKET: "/run/polaris/key-api/key-api.sock",
  },
  POLARIS_PROXY_GOOGLE_OLDER_KEY_VERSIONS: { POLARIS_PROXY_GOOGLE_KEY_VERSION: "2" },
  POLARIS_PROXY_GOOGLE_LOCAL_SERVICES_SOCKET: LOCAL_ORIGINS,
};

test("every variable is described, and its example is valid", () => {
  for (const variable of PROXY_VARIABLES) {
    assert.match(variable.description, /\.$/);
    const companions = COMPANIONS[variable.name];
    const environment = { ...GOOGLE, ...companions, [variable.name]: variable.example };
    assert.deepEqual(problemsOf(environment), [], variable.name);
  }
});
