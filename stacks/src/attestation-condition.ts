import { PolarisError } from "@polaris-cvm/sdk/errors";

/** Reference values that a token's claims must have, each one. */
export interface AttestationReferenceValues {
  /** `swname`: `GCE`, `CONFIDENTIAL_SPACE`, … */
  readonly softwareName: string;
  /** `hwmodel`: one of these. */
  readonly hardwareModels: readonly string[];
  readonly secureBoot: boolean;
  readonly projectNumber: string;
  readonly instanceId?: string | undefined;
  readonly zone?: string | undefined;
  /** E-mail address of the machine's own service account. */
  readonly serviceAccount: string;
  readonly debugStatus?: string | undefined;
}

/** Longest condition that Google's workload identity federation takes. */
export const MAX_CONDITION_CHARACTERS = 4096;

/**
 * The attribute condition of a workload identity pool provider, in CEL: true for tokens with exactly these reference
 * values. Optional values make optional clauses; a value that is given is never left out.
 *
 * @throws {PolarisError} CONFIG_INVALID if a value is empty or no Unicode text, or if the condition gets too long
 */
export function attestationCondition(values: AttestationReferenceValues): string {
  const { hardwareModels, instanceId, zone, debugStatus } = values;
  if (hardwareModels.length === 0) {
    throw new PolarisError("CONFIG_INVALID", "the attestation policy has no hardware model");
  }
  const models = hardwareModels.map((model) => quote(model, "hardware model"));
  const clauses = [
    `assertion.swname == ${quote(values.softwareName, "software name")}`,
    `assertion.hwmodel in [${models.join(", ")}]`,
    `assertion.secboot == ${String(values.secureBoot)}`,
    `assertion.submods.gce.project_number == ${quote(values.projectNumber, "project number")}`,
    `${quote(values.serviceAccount, "service account")} in assertion.google_service_accounts`,
  ];
  if (zone !== undefined) clauses.push(`assertion.submods.gce.zone == ${quote(zone, "zone")}`);
  if (instanceId !== undefined) {
    clauses.push(`assertion.submods.gce.instance_id == ${quote(instanceId, "instance id")}`);
  }
  if (debugStatus !== undefined) clauses.push(`assertion.dbgstat == ${quote(debugStatus, "debug status")}`);
  const condition = clauses.join(" && ");
  if (condition.length > MAX_CONDITION_CHARACTERS) {
    throw new PolarisError(
      "CONFIG_INVALID",
      `the attestation policy makes a condition of ${condition.length} characters, at most ${MAX_CONDITION_CHARACTERS} are allowed`,
    );
  }
  return condition;
}

/**
 * The expression of `google.subject`: one instance of one project. Not the token's `sub`, which can be longer than the
 * 127 bytes that Google allows.
 */
export function subjectMapping(): string {
  return "'gcpcvm::' + assertion.submods.gce.project_number + '::' + assertion.submods.gce.instance_id";
}

/**
 * A CEL string literal in single quotes (CEL language definition, "String and Bytes Values"). Everything but printable
 * ASCII is written as an escape, so that no reader of the condition sees something else than the evaluator.
 */
function quote(value: string, what: string): string {
  if (value === "") throw new PolarisError("CONFIG_INVALID", `the attestation policy has an empty ${what}`);
  if (!value.isWellFormed()) throw new PolarisError("CONFIG_INVALID", `the ${what} is not Unicode text`);
  const escaped = Array.from(value, (character) => {
    if (character === "\\" || character === "'") return `\\${character}`;
    const code = character.codePointAt(0) ?? 0;
    if (code >= 0x20 && code <= 0x7e) return character;
    return code > 0xffff
      ? `\\U${code.toString(16).padStart(8, "0")}`
      : `\\u${code.toString(16).padStart(4, "0")}`;
  });
  return `'${escaped.join("")}'`;
}
