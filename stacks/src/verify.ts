import { verifyAttestation } from "@polaris-cvm/sdk";
import type { AttestationExpectations, Check } from "@polaris-cvm/sdk";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { localTrustStatements } from "./local/trust-statements.ts";
import { simulatedHardware } from "./local/simulated-hardware.ts";
import type { DeployedStack, LockFile, StackLock } from "./lock-file/schema.ts";
import { serviceAccountEmail } from "./plan.ts";
import type { TrustStatement } from "./trust-statement.ts";

/** A check of the evidence, or one of what was deployed against what is locked. */
export type StackCheck = Omit<Check, "id"> & { readonly id: Check["id"] | "workload" };

/** What `polaris verify` found out about an endpoint. */
export interface StackVerification {
  readonly endpoint: string;
  readonly trusted: boolean;
  /** No hardware stands behind the evidence. */
  readonly simulated: boolean;
  readonly checks: readonly StackCheck[];
  /** Of the verified key; undefined if the evidence did not get that far. */
  readonly publicKeyFingerprint: string | undefined;
  /** What the target proves at all, and what it leaves open. */
  readonly statements: readonly TrustStatement[];
}

export interface VerificationRequest {
  readonly lockFile: LockFile;
  readonly stack: string;
  /** Endpoint to check; without one, the deployed one. */
  readonly url?: string;
  readonly acceptSimulated: boolean;
  readonly signal: AbortSignal;
}

/**
 * Checks an endpoint against the lock file: fresh nonce, evidence, claims, and that what was deployed is what is locked.
 * Nothing that is expected comes from the endpoint.
 */
export async function verifyStack(request: VerificationRequest): Promise<StackVerification> {
  const { lock, deployed } = requireExpectations(request.lockFile, request.stack);
  const endpoint = request.url ?? deployed.endpoint;
  const report = await verifyAttestation({
    url: endpoint,
    nonce: crypto.getRandomValues(new Uint8Array(32)),
    expectations: planExpectations(request.lockFile, request.stack, request.acceptSimulated),
    nowUnixSeconds: Math.floor(Date.now() / 1000),
    signal: request.signal,
  });
  const workload: StackCheck = {
    id: "workload",
    ok: deployed.workload === lock.workload.files.sha256,
    expected: lock.workload.files.sha256,
    actual: deployed.workload,
  };
  const checks: StackCheck[] = [...report.checks, workload];
  return {
    endpoint,
    trusted: report.trusted && checks.every((check) => check.ok),
    simulated: report.simulated,
    checks,
    publicKeyFingerprint: report.publicKey?.keyId,
    statements: localTrustStatements(deployed.publicKeyFingerprint === null ? "ephemeral" : "hsm"),
  };
}

/** The reference values for a stack's evidence: from polaris.lock alone. */
export function planExpectations(
  lockFile: LockFile,
  stack: string,
  acceptSimulated: boolean,
): AttestationExpectations {
  const { lock, deployed } = requireExpectations(lockFile, stack);
  return {
    stack: `${lockFile.name}/${stack}`,
    issuer: deployed.issuer,
    jwks: deployed.jwks,
    claims: {
      hwmodel: [simulatedHardware.hardwareModel],
      swname: simulatedHardware.softwareName,
      secureBoot: true,
      projectNumber: lock.projectNumber,
      instanceId: lock.instanceId,
      zone: lock.zone,
      serviceAccount: serviceAccountEmail(lock),
    },
    acceptSimulated,
    ...(deployed.publicKeyFingerprint === null
      ? {}
      : { publicKeyFingerprint: deployed.publicKeyFingerprint }),
  };
}

/** A stack's entries of the lock file; without them nothing says what to expect. */
export function requireExpectations(
  lockFile: LockFile,
  stack: string,
): { lock: StackLock; deployed: DeployedStack } {
  const lock = lockFile.stacks[stack];
  const deployed = lockFile.deployed[stack];
  if (lock === undefined || deployed === undefined) {
    throw new PolarisError("EXPECTATIONS_MISSING", `polaris.lock knows no deployment of stack "${stack}"`, {
      hint: "deploy first, or choose another stack with --stack",
    });
  }
  return { lock, deployed };
}
