import assert from "node:assert/strict";
import { test } from "node:test";
import { compileCondition } from "./local/trust/cel.ts";
import { planKeyPolicy } from "./plan.ts";
import { sampleDeployment, sampleLock, sampleLockFile } from "./testing/sample-stack.ts";
import { planExpectations, requireExpectations, verifyStack } from "./verify.ts";

test("what is expected of an endpoint is this, to the letter", () => {
  assert.deepEqual(planExpectations(sampleLockFile(), "staging", true), {
    stack: "shop/staging",
    issuer: "http://127.0.0.1:40001/issuer",
    jwks: sampleDeployment.jwks,
    claims: {
      hwmodel: ["POLARIS_SIMULATED_NO_TEE"],
      swname: "POLARIS_SIMULATED",
      secureBoot: true,
      projectNumber: "123456789012",
      instanceId: "9876543210987654321",
      zone: "local-a",
      serviceAccount: "account-q7w8e9@polaris-local-q7w8e9.iam.gserviceaccount.com",
    },
    tls: "unbound",
    acceptSimulated: true,
    publicKeyFingerprint: sampleDeployment.publicKeyFingerprint,
  });
});

test("simulated evidence is accepted only as the caller says", () => {
  assert.equal(planExpectations(sampleLockFile(), "staging", true).acceptSimulated, true);
  assert.equal(planExpectations(sampleLockFile(), "staging", false).acceptSimulated, false);
});

test("an attested TLS key is expected where polaris.lock says so", () => {
  assert.equal(planExpectations(sampleLockFile({ tls: "attested" }), "staging", false).tls, "attested");
});

test("for an ephemeral key no fingerprint is expected", () => {
  const expectations = planExpectations(sampleLockFile({ publicKeyFingerprint: null }), "staging", false);
  assert.equal("publicKeyFingerprint" in expectations, false);
});

test("a client expects exactly what the key service demands", () => {
  const { claims } = planExpectations(sampleLockFile(), "staging", true);
  const { condition } = planKeyPolicy(sampleLock);
  for (const hwmodel of claims.hwmodel) {
    const machine = {
      hwmodel,
      swname: claims.swname,
      secboot: claims.secureBoot,
      google_service_accounts: [claims.serviceAccount],
      submods: {
        gce: {
          project_number: claims.projectNumber,
          instance_id: claims.instanceId,
          zone: claims.zone,
        },
      },
    };
    const mapped = { subject: "s", groups: [], attributes: {} };
    assert.equal(compileCondition(condition)(machine, mapped), true, hwmodel);
  }
});

test("without an entry of the stack, or without a deployment of it, nothing is expected and nothing is trusted", async () => {
  const lockFile = sampleLockFile();
  const incomplete = {
    other: lockFile,
    staging: { ...lockFile, deployed: {} },
    "staging ": { ...lockFile, stacks: {} },
  };
  for (const [name, file] of Object.entries(incomplete)) {
    const stack = name.trim();
    const expected = {
      code: "EXPECTATIONS_MISSING",
      message: `polaris.lock knows no deployment of stack "${stack}"`,
      hint: "deploy first, or choose another stack with --stack",
    };
    assert.throws(() => requireExpectations(file, stack), expected);
    assert.throws(() => planExpectations(file, stack, true), expected);
    await assert.rejects(
      verifyStack({ lockFile: file, stack, acceptSimulated: true, signal: AbortSignal.timeout(1000) }),
      expected,
    );
  }
});

test("a stack's entries are its own", () => {
  const lockFile = sampleLockFile();
  const other = { ...sampleLock, instanceId: "2222222222222222222" };
  const otherDeployment = { ...sampleDeployment, issuer: "http://127.0.0.1:50001/issuer" };
  const both = {
    ...lockFile,
    stacks: { ...lockFile.stacks, other },
    deployed: { ...lockFile.deployed, other: otherDeployment },
  };
  assert.deepEqual(requireExpectations(both, "staging"), { lock: sampleLock, deployed: sampleDeployment });
  assert.deepEqual(requireExpectations(both, "other"), { lock: other, deployed: otherDeployment });
});
