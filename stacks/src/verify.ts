import { verifyAttestation } from "@polaris-cvm/sdk";
import type { AttestationExpectations, Check, RecipientKey } from "@polaris-cvm/sdk";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { localTrustStatements } from "./local/trust-statements.ts";
import { simulatedHardware } from "./local/simulated-hardware.ts";
import { updateStackLock } from "./lock-file/create.ts";
import { workloadDigest } from "./lock-file/locked-image.ts";
import type { DeployedStack, LockFile, StackLock } from "./lock-file/schema.ts";
import { keyVersionName, planKeyName, planKeyPolicy, serviceAccountEmail } from "./plan.ts";
import type { TrustStatement } from "./trust-statement.ts";
import { clearTrafficStatement, wireTrustStatements } from "./wire-trust-statements.ts";

/** A check of the evidence, or one of the lock file that the expectations come from. */
export type StackCheck = Omit<Check, "id"> & { readonly id: Check["id"] | "key-policy" };

/** What `polaris verify` found out about an endpoint. */
export interface StackVerification {
  readonly endpoint: string;
  readonly trusted: boolean;
  /** No hardware stands behind the evidence. */
  readonly simulated: boolean;
  readonly checks: readonly StackCheck[];
  /** Of the verified key; undefined if the evidence did not get that far. */
  readonly publicKeyFingerprint: string | undefined;
  /** The key to seal to; only if {@link trusted}. */
  readonly publicKey: RecipientKey | undefined;
  /** What the target proves at all, and what it and the wire format leave open. */
  readonly statements: readonly TrustStatement[];
  /** The lock file names another workload than the one that was deployed: not a matter of trust, but worth knowing. */
  readonly isLockAhead: boolean;
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
  const checks: StackCheck[] = [...report.checks, checkKeyPolicy(lock, deployed)];
  const trusted = report.trusted && checks.every((check) => check.ok);
  return {
    endpoint,
    trusted,
    simulated: report.simulated,
    checks,
    publicKeyFingerprint: report.publicKey?.keyId,
    publicKey: trusted ? report.publicKey : undefined,
    isLockAhead: deployed.workload !== workloadDigest(lock.workload),
    statements: [
      ...localTrustStatements(
        deployed.publicKeyFingerprint === null ? "ephemeral" : "hsm",
        lock.workload.kind,
      ),
      clearTrafficStatement(deployed),
      ...wireTrustStatements(deployed.tls),
    ],
  };
}

/**
 * The policy that polaris.lock shows has to be the one that follows from its names: what a reviewer reads there is what was
 * deployed, and not a text that somebody put in its place.
 */
function checkKeyPolicy(lock: StackLock, deployed: DeployedStack): StackCheck {
  const { condition } = planKeyPolicy(lock);
  const { policy } = updateStackLock(lock, { workload: lock.workload, condition });
  const keyVersion = keyVersionName(planKeyName(lock));
  const problems = [
    ...(lock.policy.condition === policy.condition ? [] : ["another condition"]),
    ...(lock.policy.sha256 === policy.sha256 ? [] : ["another hash"]),
    ...(deployed.instanceId === lock.instanceId ? [] : ["another instance"]),
    ...(deployed.keyVersion === null || deployed.keyVersion === keyVersion ? [] : ["another key"]),
  ];
  return {
    id: "key-policy",
    ok: problems.length === 0,
    expected: `the policy of ${lock.names.instance}, ${policy.sha256}`,
    actual: problems.length === 0 ? policy.sha256 : `polaris.lock names ${problems.join(", ")}`,
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
    tls: deployed.tls,
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

/**
 * True for a stack of the project's own lock that was deployed to this machine: it is simulated and known to be. An endpoint
 * or a lock that was named on the command line (`named`) may be anybody's, and the user has to say that simulated will do.
 */
export function isKnownToBeSimulated(
  lockFile: LockFile,
  stack: string,
  named: readonly (string | undefined)[],
): boolean {
  return named.every((name) => name === undefined) && lockFile.deployed[stack]?.target === "local";
}
