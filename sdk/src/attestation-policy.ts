import type { AttestationClaims } from "./attestation-token.ts";
import type { Check } from "./check.ts";

/** Reference values for the machine behind a token; from the user's lock, never from the endpoint under test. */
export interface ClaimPolicy {
  /** Any one of these hardware models. */
  readonly hwmodel: readonly string[];
  readonly swname: string;
  readonly secureBoot: boolean;
  readonly projectNumber: string;
  readonly instanceId: string;
  readonly zone?: string;
  /** E-mail address of the machine's own identity. */
  readonly serviceAccount: string;
  /** Absent where the value says nothing: plain Container-Optimized OS always reports `enabled`. */
  readonly debugStatus?: string;
}

/** Compares verified claims with the reference values; pure. One check for each, all of them always. */
export function validateClaims(claims: AttestationClaims, policy: ClaimPolicy): Check[] {
  return [
    {
      id: "tee",
      ok: policy.hwmodel.includes(claims.hwmodel),
      expected: policy.hwmodel.join(" or "),
      actual: claims.hwmodel,
    },
    {
      id: "software",
      ok: claims.swname === policy.swname,
      expected: policy.swname,
      actual: claims.swname,
    },
    {
      id: "secure-boot",
      ok: claims.secureBoot === policy.secureBoot,
      expected: formatSwitch(policy.secureBoot),
      actual: formatSwitch(claims.secureBoot),
    },
    {
      id: "debug",
      ok: policy.debugStatus === undefined || claims.debugStatus === policy.debugStatus,
      expected: policy.debugStatus ?? "any",
      actual:
        policy.debugStatus === undefined
          ? `${claims.debugStatus}, which says nothing here`
          : claims.debugStatus,
    },
    {
      id: "project",
      ok: claims.projectNumber === policy.projectNumber,
      expected: policy.projectNumber,
      actual: claims.projectNumber,
    },
    {
      id: "instance",
      ok:
        claims.instanceId === policy.instanceId && (policy.zone === undefined || claims.zone === policy.zone),
      expected: formatInstance(policy.instanceId, policy.zone),
      actual: formatInstance(claims.instanceId, policy.zone === undefined ? undefined : claims.zone),
    },
    {
      id: "service-account",
      ok: claims.serviceAccounts.includes(policy.serviceAccount),
      expected: policy.serviceAccount,
      actual: claims.serviceAccounts.join(", "),
    },
  ];
}

function formatSwitch(on: boolean): string {
  return on ? "on" : "off";
}

function formatInstance(id: string, zone: string | undefined): string {
  return zone === undefined ? id : `${id} in ${zone}`;
}
