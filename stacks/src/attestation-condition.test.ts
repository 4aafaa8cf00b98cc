import assert from "node:assert/strict";
import { test } from "node:test";
import { assert as assertProperty, constantFrom, oneof, pre, property, string } from "fast-check";
import {
  type AttestationReferenceValues,
  attestationCondition,
  subjectMapping,
} from "./attestation-condition.ts";
import { compileCondition, compileMapping } from "./local/trust/cel.ts";

const mapped = { subject: "s", groups: [], attributes: {} };

const values = {
  softwareName: "GCE",
  hardwareModels: ["GCP_AMD_SEV_SNP", "GCP_INTEL_TDX"],
  secureBoot: true,
  projectNumber: "470652426305",
  instanceId: "7331234567890123456",
  zone: "europe-west4-a",
  serviceAccount: "vm@my-project.iam.gserviceaccount.com",
  debugStatus: "disabled-since-boot",
} satisfies AttestationReferenceValues;

interface TestClaims {
  swname: string;
  hwmodel: string | undefined;
  secboot: boolean;
  dbgstat: string | undefined;
  google_service_accounts: string[];
  submods: { gce: Record<"project_number" | "instance_id" | "zone", string | undefined> };
}

/** Claims that have the reference values; the last hardware model, to see that each one of the list counts. */
function claimsOf(reference: Required<AttestationReferenceValues>): TestClaims {
  return {
    swname: reference.softwareName,
    hwmodel: reference.hardwareModels.at(-1),
    secboot: reference.secureBoot,
    dbgstat: reference.debugStatus,
    google_service_accounts: ["other@p.iam.gserviceaccount.com", reference.serviceAccount],
    submods: {
      gce: {
        project_number: reference.projectNumber,
        instance_id: reference.instanceId,
        zone: reference.zone,
      },
    },
  };
}

const holds = (condition: string, claims: TestClaims): boolean =>
  compileCondition(condition)({ ...claims }, mapped);

test("the condition reads like the ones of Google's documentation", () => {
  assert.equal(
    attestationCondition(values),
    "assertion.swname == 'GCE' && assertion.hwmodel in ['GCP_AMD_SEV_SNP', 'GCP_INTEL_TDX'] && assertion.secboot == true && assertion.submods.gce.project_number == '470652426305' && 'vm@my-project.iam.gserviceaccount.com' in assertion.google_service_accounts && assertion.submods.gce.zone == 'europe-west4-a' && assertion.submods.gce.instance_id == '7331234567890123456' && assertion.dbgstat == 'disabled-since-boot'",
  );
  const { instanceId: _i, zone: _z, debugStatus: _d, ...required } = values;
  assert.equal(
    attestationCondition(required),
    "assertion.swname == 'GCE' && assertion.hwmodel in ['GCP_AMD_SEV_SNP', 'GCP_INTEL_TDX'] && assertion.secboot == true && assertion.submods.gce.project_number == '470652426305' && 'vm@my-project.iam.gserviceaccount.com' in assertion.google_service_accounts",
  );
});

test("each clause refuses something that no other clause refuses", () => {
  const condition = attestationCondition(values);
  const clauses = condition.split(" && ");
  const wrong: Record<string, (claims: TestClaims) => void> = {
    swname: (claims) => (claims.swname = "CONFIDENTIAL_SPACE"),
    hwmodel: (claims) => (claims.hwmodel = "GCP_SHIELDED_VM"),
    secboot: (claims) => (claims.secboot = false),
    project_number: (claims) => (claims.submods.gce.project_number = "1"),
    google_service_accounts: (claims) => claims.google_service_accounts.pop(),
    zone: (claims) => (claims.submods.gce.zone = "us-central1-a"),
    instance_id: (claims) => (claims.submods.gce.instance_id = "1"),
    dbgstat: (claims) => (claims.dbgstat = "enabled"),
  };
  assert.equal(clauses.length, Object.keys(wrong).length);
  assert.equal(holds(condition, claimsOf(values)), true);
  for (const [claim, change] of Object.entries(wrong)) {
    const claims = claimsOf(values);
    change(claims);
    assert.equal(holds(condition, claims), false, claim);
    const others = clauses.filter((clause) => !clause.includes(claim));
    assert.equal(others.length, clauses.length - 1);
    assert.equal(holds(others.join(" && "), claims), true, `another clause refuses a wrong ${claim} too`);
  }
});

test("a missing claim is a no, for each claim", () => {
  const condition = attestationCondition(values);
  for (const claim of ["swname", "hwmodel", "secboot", "dbgstat", "google_service_accounts", "submods"]) {
    const claims = claimsOf(values);
    Reflect.deleteProperty(claims, claim);
    assert.equal(holds(condition, claims), false, claim);
  }
  for (const claim of ["project_number", "zone", "instance_id"]) {
    const claims = claimsOf(values);
    Reflect.deleteProperty(claims.submods.gce, claim);
    assert.equal(holds(condition, claims), false, claim);
  }
});

test("secure boot off is a clause too, not a clause less", () => {
  const condition = attestationCondition({ ...values, secureBoot: false });
  assert.equal(holds(condition, claimsOf({ ...values, secureBoot: false })), true);
  assert.equal(holds(condition, claimsOf(values)), false);
});

/** Text with much of what ends, escapes or hides something. */
const hostileText = oneof(
  string({ minLength: 1, maxLength: 20, unit: "binary" }),
  string({
    minLength: 1,
    maxLength: 20,
    unit: constantFrom(
      "'",
      "\\",
      '"',
      "`",
      "\n",
      "\r",
      "\0",
      "\u007f",
      "\u2028",
      "\ufeff",
      "\u202e",
      "😀",
      "n",
      "x",
      "u",
      "0",
    ),
  }),
  constantFrom(
    "' || true || '",
    "\\' || true //",
    "x'] || true || assertion.hwmodel in ['",
    "'''",
    "r'",
    "\\u0041",
  ),
);
const FIELDS = [
  "softwareName",
  "projectNumber",
  "instanceId",
  "zone",
  "serviceAccount",
  "debugStatus",
  "hardwareModels",
] as const;

test("hostile text in any field means exactly itself", () => {
  const withText = (field: (typeof FIELDS)[number], text: string): Required<AttestationReferenceValues> => ({
    ...values,
    [field]: field === "hardwareModels" ? ["GCP_AMD_SEV_SNP", text] : text,
  });
  assertProperty(
    property(constantFrom(...FIELDS), hostileText, hostileText, (field, text, other) => {
      pre(text !== other && other !== "GCP_AMD_SEV_SNP" && other !== "other@p.iam.gserviceaccount.com");
      const condition = attestationCondition(withText(field, text));
      assert.match(condition, /^[\x20-\x7e]+$/);
      assert.equal(holds(condition, claimsOf(withText(field, text))), true);
      assert.equal(holds(condition, claimsOf(withText(field, other))), false);
      assert.equal(holds(condition, claimsOf(values)), false);
    }),
    { numRuns: 1000 },
  );
});

test("a value that is empty, no text or too long is refused instead of left out", () => {
  const fields = [
    "softwareName",
    "projectNumber",
    "instanceId",
    "zone",
    "serviceAccount",
    "debugStatus",
  ] as const;
  for (const field of fields) {
    assert.throws(() => attestationCondition({ ...values, [field]: "" }), {
      code: "CONFIG_INVALID",
      message: /^the attestation policy has an empty [a-z ]+$/,
    });
    assert.throws(() => attestationCondition({ ...values, [field]: "a\ud800" }), {
      code: "CONFIG_INVALID",
      message: /is not Unicode text$/,
    });
  }
  const models: [string[], RegExp][] = [
    [[], /has no hardware model$/],
    [[""], /has an empty hardware model$/],
    [["A", ""], /has an empty hardware model$/],
  ];
  for (const [hardwareModels, message] of models) {
    assert.throws(() => attestationCondition({ ...values, hardwareModels }), {
      code: "CONFIG_INVALID",
      message,
    });
  }
  const length = attestationCondition(values).length;
  const padded = (count: number): string =>
    attestationCondition({ ...values, zone: values.zone + "a".repeat(count) });
  assert.equal(padded(4096 - length).length, 4096);
  assert.throws(() => padded(4097 - length), {
    code: "CONFIG_INVALID",
    message: "the attestation policy makes a condition of 4097 characters, at most 4096 are allowed",
  });
});

test("the subject names one instance of one project, and fits into 127 bytes", () => {
  const subject = compileMapping({ "google.subject": subjectMapping() })({ ...claimsOf(values) })?.subject;
  assert.equal(subject, "gcpcvm::470652426305::7331234567890123456");
  assert.equal(compileMapping({ "google.subject": subjectMapping() })({ submods: {} }), undefined);
});
