import assert from "node:assert/strict";
import { test } from "node:test";
import { compileCondition, compileMapping } from "./local/trust/cel.ts";
import { planKeyPolicy, planStack } from "./plan.ts";
import { workloadDigest } from "./lock-file/locked-image.ts";
import { sampleConfig, sampleLock } from "./testing/sample-stack.ts";

const POOL = "iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/pool-q7w8e9";
const SERVICE_ACCOUNT = "account-q7w8e9@polaris-local-q7w8e9.iam.gserviceaccount.com";

interface MachineClaims {
  swname: string;
  hwmodel: string;
  secboot: boolean;
  google_service_accounts: string[];
  submods: { gce: { project_number: string; instance_id: string; zone: string } };
}

/** Claims of the one machine that may use the key. */
function machineClaims(): MachineClaims {
  return {
    swname: "POLARIS_SIMULATED",
    hwmodel: "POLARIS_SIMULATED_NO_TEE",
    secboot: true,
    google_service_accounts: [SERVICE_ACCOUNT],
    submods: {
      gce: { project_number: "123456789012", instance_id: "9876543210987654321", zone: "local-a" },
    },
  };
}

function holds(condition: string, claims: MachineClaims): boolean {
  return compileCondition(condition)({ ...claims }, { subject: "s", groups: [], attributes: {} });
}

test("the condition, the member and the audience of a key are these, to the letter", () => {
  assert.deepEqual(planKeyPolicy(sampleLock), {
    poolId: "pool-q7w8e9",
    providerId: "provider-q7w8e9",
    audience: `//${POOL}/providers/provider-q7w8e9`,
    condition: [
      "assertion.swname == 'POLARIS_SIMULATED'",
      "assertion.hwmodel in ['POLARIS_SIMULATED_NO_TEE']",
      "assertion.secboot == true",
      "assertion.submods.gce.project_number == '123456789012'",
      `'${SERVICE_ACCOUNT}' in assertion.google_service_accounts`,
      "assertion.submods.gce.zone == 'local-a'",
      "assertion.submods.gce.instance_id == '9876543210987654321'",
    ].join(" && "),
    subjectMapping:
      "'gcpcvm::' + assertion.submods.gce.project_number + '::' + assertion.submods.gce.instance_id",
    member: `principal://${POOL}/subject/gcpcvm::123456789012::9876543210987654321`,
  });
});

test("the member is the principal that the subject mapping gives the machine, and no other machine", () => {
  const { member, subjectMapping } = planKeyPolicy(sampleLock);
  const subjectOf = (claims: MachineClaims): string | undefined =>
    compileMapping({ "google.subject": subjectMapping })({ ...claims })?.subject;
  assert.equal(`principal://${POOL}/subject/${subjectOf(machineClaims())}`, member);
  for (const claim of ["project_number", "instance_id"] as const) {
    const other = machineClaims();
    other.submods.gce[claim] = "111111111111";
    assert.notEqual(`principal://${POOL}/subject/${subjectOf(other)}`, member, claim);
  }
});

/** For each clause, a machine that is wrong in nothing but what the clause asks. */
const WRONG_MACHINES: Readonly<Record<string, (claims: MachineClaims) => void>> = {
  "assertion.swname": (claims) => (claims.swname = "GCE"),
  "assertion.hwmodel": (claims) => (claims.hwmodel = "GCP_AMD_SEV"),
  "assertion.secboot": (claims) => (claims.secboot = false),
  "gce.project_number": (claims) => (claims.submods.gce.project_number = "123456789013"),
  google_service_accounts: (claims) => (claims.google_service_accounts = [`x${SERVICE_ACCOUNT}`]),
  "gce.zone": (claims) => (claims.submods.gce.zone = "local-b"),
  "gce.instance_id": (claims) => (claims.submods.gce.instance_id = "9876543210987654322"),
};

test("the machine itself satisfies the condition, and every clause has a wrong machine here", () => {
  const { condition } = planKeyPolicy(sampleLock);
  assert.equal(holds(condition, machineClaims()), true);
  assert.equal(condition.split(" && ").length, Object.keys(WRONG_MACHINES).length);
});

for (const [claim, change] of Object.entries(WRONG_MACHINES)) {
  test(`without the clause on ${claim}, a machine that is wrong only there would get the key`, () => {
    const { condition } = planKeyPolicy(sampleLock);
    const claims = machineClaims();
    change(claims);
    assert.equal(holds(condition, claims), false);
    const clauses = condition.split(" && ");
    const others = clauses.filter((clause) => !clause.includes(claim));
    assert.equal(others.length, clauses.length - 1);
    assert.equal(holds(others.join(" && "), claims), true);
  });
}

test("requests and responses are encrypted as each of them is configured", () => {
  for (const [requests, responses] of [
    ["required", "off"],
    ["off", "required"],
    ["optional", "required"],
    ["off", "optional"],
  ] as const) {
    const { proxy } = planStack(
      sampleConfig(`proxy: { encryption: { requests: ${requests}, responses: ${responses} } }`),
      "staging",
      sampleLock,
    );
    assert.deepEqual([proxy.encryptRequests, proxy.encryptResponses], [requests, responses]);
  }
});

test("without a word about encryption, both directions must be sealed", () => {
  const { proxy } = planStack(sampleConfig(), "staging", sampleLock);
  assert.deepEqual([proxy.encryptRequests, proxy.encryptResponses], ["required", "required"]);
});

test("TLS is off, attested or from files, and a stack's own choice replaces that of the file", () => {
  const tlsOf = (...lines: readonly string[]) =>
    planStack(sampleConfig(...lines), "staging", sampleLock).proxy.tls;
  const files = "{ certificate: tls/a.crt, key: tls/a.key }";
  assert.deepEqual(tlsOf("proxy: { tls: off }"), { mode: "off" });
  assert.deepEqual(tlsOf("proxy: { tls: attested }"), { mode: "attested" });
  assert.deepEqual(tlsOf(`proxy: { tls: ${files} }`), {
    mode: "files",
    certificate: "tls/a.crt",
    key: "tls/a.key",
  });
  assert.deepEqual(tlsOf(`proxy: { tls: ${files} }`, "stacks: { default: { proxy: { tls: attested } } }"), {
    mode: "attested",
  });
  assert.deepEqual(tlsOf("proxy: { tls: attested }", `stacks: { default: { proxy: { tls: ${files} } } }`), {
    mode: "files",
    certificate: "tls/a.crt",
    key: "tls/a.key",
  });
});

test("origins of web pages and limits of a request are those of the configuration, or of its stack", () => {
  const { proxy } = planStack(
    sampleConfig(
      "proxy: { cors: { origins: [https://a.example] }, limits: { maxBodyMb: 4, answerTimeout: 90s } }",
      "stacks: { default: { proxy: { cors: { origins: ['*'] }, limits: { maxBodyMb: 8 } } } }",
    ),
    "staging",
    sampleLock,
  );
  assert.deepEqual(proxy.corsOrigins, ["*"]);
  assert.equal(proxy.maxBodyBytes, 8 * 1024 * 1024);
  assert.equal(proxy.workloadTimeoutMs, 90_000);
});

test("the ports of the configuration are the ones of the plan, each at its part", () => {
  const plan = planStack(
    sampleConfig("proxy: { port: 3105 }", "workload: { port: 8206 }"),
    "staging",
    sampleLock,
  );
  assert.deepEqual([plan.proxy.port, plan.workload.port], [3105, 8206]);
});

test("a plan says what the configuration and the lock say, each for its part", () => {
  const plan = planStack(
    sampleConfig(
      "workload: { env: { GREETING: hi }, health: { path: /up, timeout: 7s } }",
      "key: { kind: ephemeral, onDestroy: destroy }",
      "trust: { accept: [local-no-tee] }",
    ),
    "staging",
    sampleLock,
  );
  assert.deepEqual(plan, {
    target: "local",
    engine: "auto",
    name: "shop",
    stack: "staging",
    qualifiedName: "shop/staging",
    workload: {
      kind: "process",
      run: ["node", "server.js", "--verbose"],
      filesSha256: workloadDigest(sampleLock.workload),
      port: undefined,
      env: { GREETING: "hi" },
      healthPath: "/up",
      healthTimeoutMs: 7000,
      keyApi: false,
    },
    proxy: {
      port: undefined,
      encryptRequests: "required",
      encryptResponses: "required",
      tls: { mode: "off" },
      corsOrigins: [],
      maxBodyBytes: 33_554_432,
      workloadTimeoutMs: 60_000,
    },
    key: {
      kind: "ephemeral",
      onDestroy: "destroy",
      project: "polaris-local-q7w8e9",
      location: "local",
      keyRing: "ring-q7w8e9",
      name: "key-q7w8e9",
    },
    identity: {
      projectId: "polaris-local-q7w8e9",
      projectNumber: "123456789012",
      zone: "local-a",
      instanceName: "instance-q7w8e9",
      instanceId: "9876543210987654321",
      serviceAccount: SERVICE_ACCOUNT,
    },
    keyPolicy: planKeyPolicy(sampleLock),
    acceptedResiduals: ["local-no-tee"],
  });
});

test("the key is one of the key service, and is kept, unless the configuration says otherwise", () => {
  const { key } = planStack(sampleConfig(), "staging", sampleLock);
  assert.deepEqual([key.kind, key.onDestroy], ["hsm", "keep"]);
});

test("what the lock says of the policy is not taken for the policy", () => {
  // sampleLock's own condition is "false": a plan that took it over would show it.
  const { keyPolicy } = planStack(sampleConfig(), "staging", sampleLock);
  assert.deepEqual(keyPolicy, planKeyPolicy(sampleLock));
});
