import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { parseProxyEnvironment } from "@polaris-cvm/proxy/environment";
import type { ProxySettings } from "@polaris-cvm/proxy/environment";
import { workloadDigest } from "../lock-file/locked-image.ts";
import { planStack } from "../plan.ts";
import type { Plan } from "../plan.ts";
import { sampleConfig, sampleLock, samplePaths, sampleState } from "../testing/sample-stack.ts";
import { sampleImagePlan } from "../testing/sample-image.ts";
import { planParts } from "./parts.ts";
import type { LocalChoices } from "./parts.ts";
import { specDigest } from "./supervisor/part-spec.ts";
import type { PartName, PartSpec } from "./supervisor/part-spec.ts";

const CHOICES: LocalChoices = {
  state: sampleState,
  configs: { trust: "the trust config", tokenAgent: "the token agent config" },
  secrets: { names: ["API_KEY"], digest: "4c".repeat(32) },
  tlsFilesSha256: undefined,
  workloadAmbient: { PATH: "/usr/bin", LANG: "C" },
  ownAmbient: { NODE_COMPILE_CACHE: "/cache" },
};

const planOf = (...lines: readonly string[]): Plan =>
  planStack(sampleConfig(...lines), "staging", sampleLock);

function partOf(name: PartName, plan: Plan, choices: Partial<LocalChoices> = {}): PartSpec {
  const part = planParts(plan, samplePaths, { ...CHOICES, ...choices }).find((spec) => spec.name === name);
  if (part === undefined) throw new Error(`no part ${name}`);
  return part;
}

/** What the proxy itself reads out of its environment. */
function proxySettings(plan: Plan): ProxySettings {
  const { settings, warnings } = parseProxyEnvironment(partOf("proxy", plan).env);
  assert.deepEqual(warnings, []);
  return settings;
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

test("four parts start in this order, ours with programs that are there", () => {
  const parts = planParts(planOf(), samplePaths, CHOICES);
  assert.deepEqual(
    parts.map((part) => part.name),
    ["trust", "token-agent", "workload", "proxy"],
  );
  for (const { name, command } of parts.filter((part) => part.name !== "workload")) {
    assert.equal(command[0], process.execPath, name);
    const program = command.slice(1).find((argument) => !argument.startsWith("--"));
    assert.ok(existsSync(program ?? ""), `${name}: ${program}`);
  }
});

test("an image makes workload and proxy processes that look after a container, and are told no secret", () => {
  const containers = {
    workloadConfig: "the workload's container",
    proxyConfig: "the proxy's container",
    ambient: { DOCKER_HOST: "unix:///somewhere.sock" },
  };
  const plan = sampleImagePlan("workload: { health: { path: /up, timeout: 300s } }");
  const [trust, tokenAgent, workload, proxy] = planParts(plan, samplePaths, { ...CHOICES, containers });
  assert.ok(trust && tokenAgent && workload && proxy);
  const { workloadConfig, proxyConfig, workloadReady, proxyReady, tokenAgentSocket } = samplePaths.containers;
  for (const [part, config] of [
    [workload, workloadConfig],
    [proxy, proxyConfig],
  ] as const) {
    assert.deepEqual([part.command[0], part.command.at(-1)], [process.execPath, config]);
    assert.ok(existsSync(part.command[1] ?? ""));
    assert.deepEqual([part.env, part.ambient], [{}, containers.ambient]);
  }
  assert.deepEqual(workload.secrets, CHOICES.secrets);
  assert.equal(proxy.secrets, undefined);
  assert.deepEqual(workload.probes, [{ kind: "socket", path: workloadReady }]);
  assert.deepEqual(proxy.probes, [
    { kind: "socket", path: proxyReady },
    { kind: "http", url: "http://127.0.0.1:40003/polaris-container/ready", expect: "200" },
  ]);
  // The proxy is ready when the workload is.
  assert.equal(proxy.readyTimeoutMs, 300_000);
  assert.deepEqual(tokenAgent.probes[0], { kind: "socket", path: tokenAgentSocket });
  assert.equal(workload.identity, sha256(containers.workloadConfig));
  assert.throws(() => planParts(plan, samplePaths, CHOICES), { code: "INTERNAL" });
});

test("the proxy reads every setting of the plan out of its environment", () => {
  assert.deepEqual(proxySettings(planOf("workload: { health: { path: /up } }")), {
    host: "127.0.0.1",
    port: 40_003,
    workload: { url: "http://127.0.0.1:40002", healthPath: "/up", timeoutMs: 60_000 },
    stack: "shop/staging",
    encryption: { requests: "required", responses: "required" },
    headerNames: {
      url: "polaris-url",
      secure: "polaris-secure",
      responseKey: "polaris-response-public-key",
    },
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
    tokenAgentSocket: samplePaths.tokenAgentSocket,
    key: {
      kind: "google-federated",
      project: "polaris-local-q7w8e9",
      location: "local",
      keyRing: "ring-q7w8e9",
      key: "key-q7w8e9",
      keyVersion: 1,
      olderKeyVersions: [],
      audience:
        "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/pool-q7w8e9/providers/provider-q7w8e9",
      tokenFile: samplePaths.tokenFile,
      stsUrl: "http://127.0.0.1:40001",
      kmsUrl: "http://127.0.0.1:40001",
      iamCredentialsUrl: "http://127.0.0.1:40001",
    },
  });
});

test("TLS, CORS and the limits of the configuration are those of the proxy", () => {
  const settings = proxySettings(
    planOf(
      "proxy:",
      "  tls: { certificate: tls/a.crt, key: ../keys/a.key }",
      "  cors: { origins: [https://a.example, 'http://localhost:5173'] }",
      "  limits: { maxBodyMb: 2, answerTimeout: 5m }",
    ),
  );
  assert.deepEqual(settings.tls, {
    mode: "files",
    certificateFile: "/home/someone/shop/tls/a.crt",
    keyFile: "/home/someone/keys/a.key",
  });
  assert.deepEqual(settings.cors.origins, ["https://a.example", "http://localhost:5173"]);
  assert.equal(settings.limits.maxBodyBytes, 2 * 1024 * 1024);
  assert.equal(settings.workload.timeoutMs, 300_000);
  assert.deepEqual(proxySettings(planOf("proxy: { tls: attested }")).tls, { mode: "attested" });
});

test("the proxy seals each direction as the configuration says for it", () => {
  for (const [requests, responses] of [
    ["required", "off"],
    ["off", "required"],
    ["optional", "required"],
  ] as const) {
    const plan = planOf(`proxy: { encryption: { requests: ${requests}, responses: ${responses} } }`);
    assert.deepEqual(proxySettings(plan).encryption, { requests, responses });
  }
});

test("with an ephemeral key the proxy gets no name of a key, and still proves itself", () => {
  const plan = planOf("key: { kind: ephemeral }");
  const settings = proxySettings(plan);
  assert.deepEqual(settings.key, { kind: "ephemeral" });
  assert.equal(settings.tokenAgentSocket, samplePaths.tokenAgentSocket);
  const names = Object.keys(partOf("proxy", plan).env);
  assert.deepEqual(
    names.filter((name) => name.startsWith("POLARIS_PROXY_GOOGLE_")),
    [],
  );
});

test("the workload gets HOST, PORT and its own variables, and nothing of ours", () => {
  const workload = partOf("workload", planOf("workload: { env: { GREETING: hi } }"));
  assert.deepEqual(workload.env, { GREETING: "hi", HOST: "127.0.0.1", PORT: "40002" });
  assert.deepEqual(workload.ambient, CHOICES.workloadAmbient);
  assert.deepEqual(workload.secrets, CHOICES.secrets);
  assert.deepEqual(workload.command, ["node", "server.js", "--verbose"]);
  assert.equal(workload.cwd, samplePaths.projectDir);
});

test("with the key API on, the proxy listens on a private socket and tells the workload where, otherwise neither", () => {
  const plan = planOf("proxy: { workloadKeyApi: true }");
  const { keyApiSocket, socketDir } = samplePaths;
  assert.equal(keyApiSocket, `${socketDir}/key-api.sock`);
  assert.equal(proxySettings(plan).workloadKeyApiSocket, keyApiSocket);
  assert.equal(partOf("workload", plan).env["POLARIS_KEY_API_SOCKET"], keyApiSocket);
  assert.deepEqual(partOf("proxy", plan).probes.at(-1), { kind: "socket", path: keyApiSocket });

  const off = planOf();
  assert.equal(proxySettings(off).workloadKeyApiSocket, undefined);
  for (const { env, probes } of planParts(off, samplePaths, CHOICES)) {
    assert.ok(!JSON.stringify([env, probes]).includes(keyApiSocket));
  }
});

test("nobody's variable moves the workload off the loopback interface or its port", () => {
  const plan = planOf();
  const workload = partOf("workload", {
    ...plan,
    workload: { ...plan.workload, env: { HOST: "0.0.0.0", PORT: "80" } },
  });
  assert.deepEqual(workload.env, { HOST: "127.0.0.1", PORT: "40002" });
});

test("the parts of ours get neither the workload's variables nor its secrets", () => {
  const plan = planOf("workload: { env: { GREETING: hi } }");
  for (const name of ["trust", "token-agent", "proxy"] as const) {
    const part = partOf(name, plan);
    assert.equal(part.secrets, undefined, name);
    assert.equal("GREETING" in part.env, false, name);
    assert.deepEqual(part.ambient, CHOICES.ownAmbient, name);
    assert.equal(part.cwd, samplePaths.stackDir, name);
  }
  assert.deepEqual(partOf("trust", plan).env, {});
  assert.deepEqual(partOf("token-agent", plan).env, {});
});

test("trust services and token agent read the configuration files that are written for them", () => {
  assert.equal(partOf("trust", planOf()).command[2], samplePaths.trustConfig);
  assert.equal(partOf("token-agent", planOf()).command[2], samplePaths.tokenAgentConfig);
});

test("each part is ready when it answers at its own address", () => {
  const probesOf = (name: PartName, plan = planOf()): PartSpec["probes"] => partOf(name, plan).probes;
  const socket = { kind: "socket", path: samplePaths.tokenAgentSocket };
  assert.deepEqual(probesOf("trust"), [
    { kind: "http", url: "http://127.0.0.1:40001/healthz", expect: "200" },
  ]);
  assert.deepEqual(probesOf("token-agent"), [socket, { kind: "file", path: samplePaths.tokenFile }]);
  assert.deepEqual(probesOf("token-agent", planOf("key: { kind: ephemeral }")), [socket]);
  assert.deepEqual(probesOf("workload"), [{ kind: "tcp", port: 40_002 }]);
  assert.deepEqual(probesOf("workload", planOf("workload: { health: { path: /up } }")), [
    { kind: "http", url: "http://127.0.0.1:40002/up", expect: "2xx-3xx" },
  ]);
  assert.deepEqual(probesOf("proxy"), [
    { kind: "http", url: "http://127.0.0.1:40003/polaris-container/ready", expect: "200" },
  ]);
  assert.deepEqual(probesOf("proxy", planOf("proxy: { tls: attested }")), [
    { kind: "http", url: "https://127.0.0.1:40003/polaris-container/ready", expect: "200" },
  ]);
});

test("the workload may take as long as the configuration gives it", () => {
  const plan = planOf("workload: { health: { timeout: 7s } }");
  assert.equal(partOf("workload", plan).readyTimeoutMs, 7000);
});

test("a changed configuration file, and changed files of the workload, make another process of that part alone", () => {
  const plan = planOf();
  assert.equal(partOf("trust", plan).identity, sha256(CHOICES.configs.trust));
  assert.equal(partOf("token-agent", plan).identity, sha256(CHOICES.configs.tokenAgent));
  assert.equal(partOf("workload", plan).identity, workloadDigest(sampleLock.workload));

  const changedParts = (otherPlan: Plan, choices: Partial<LocalChoices>): PartName[] => {
    const before = planParts(plan, samplePaths, CHOICES);
    const now = planParts(otherPlan, samplePaths, { ...CHOICES, ...choices });
    return now
      .filter((part, index) => specDigest(part) !== specDigest(before[index] ?? part))
      .map((part) => part.name);
  };
  const { configs } = CHOICES;
  const otherFiles = { ...plan, workload: { ...plan.workload, filesSha256: `sha256:${"5b".repeat(32)}` } };
  assert.deepEqual(changedParts(plan, {}), []);
  assert.deepEqual(changedParts(plan, { configs: { ...configs, trust: "another" } }), ["trust"]);
  assert.deepEqual(changedParts(plan, { configs: { ...configs, tokenAgent: "another" } }), ["token-agent"]);
  assert.deepEqual(changedParts(otherFiles, {}), ["workload"]);
  assert.deepEqual(changedParts(plan, { tlsFilesSha256: "6a".repeat(32) }), ["proxy"]);
  assert.deepEqual(changedParts(planOf("proxy: { tls: attested }"), {}), ["proxy"]);
  assert.deepEqual(changedParts(plan, { secrets: { names: ["API_KEY"], digest: "5d".repeat(32) } }), [
    "workload",
  ]);
  assert.deepEqual(
    changedParts(planOf("proxy: { encryption: { requests: optional, responses: required } }"), {}),
    ["proxy"],
  );
});
