import assert from "node:assert/strict";
import { test } from "node:test";
import { type Claims, compileCondition, compileMapping } from "./cel.ts";

const claims: Claims = {
  swname: "CONFIDENTIAL_SPACE",
  hwmodel: "GCP_AMD_SEV_SNP",
  secboot: true,
  dbgstat: "disabled-since-boot",
  iat: 1_715_968_097,
  sub: "https://www.googleapis.com/compute/v1/projects/p/zones/z/instances/i",
  google_service_accounts: ["vm@p.iam.gserviceaccount.com"],
  submods: {
    gce: { project_number: "123", zone: "us-central1-a", instance_id: "733" },
    confidential_space: { support_attributes: ["LATEST", "STABLE", "USABLE"] },
    container: {
      image_digest: "sha256:aa",
      image_signatures: [{ signature_algorithm: "ECDSA_P256_SHA256", key_id: "fp" }],
    },
  },
};
const mapped = { subject: "s", groups: [], attributes: { env: "prod" } };
const holds = (source: string): boolean => compileCondition(source)(claims, mapped);

test("conditions of Google's documentation hold, and stop holding when one value differs", () => {
  const conditions: [string, string, string][] = [
    [
      "assertion.swname == 'CONFIDENTIAL_SPACE' && 'STABLE' in assertion.submods.confidential_space.support_attributes",
      "STABLE",
      "EXPERIMENTAL",
    ],
    [
      "assertion.hwmodel in ['GCP_AMD_SEV_SNP', 'GCP_INTEL_TDX'] && assertion.secboot == true && assertion.submods.gce.project_number == '123' && assertion.submods.gce.zone == 'us-central1-a' && 'vm@p.iam.gserviceaccount.com' in assertion.google_service_accounts",
      "vm@p",
      "other@p",
    ],
    [
      "assertion.dbgstat == 'disabled-since-boot' && assertion.submods.container.image_digest == 'sha256:aa'",
      "aa",
      "ab",
    ],
    [
      "['ECDSA_P256_SHA256:fp'].exists(f, f in assertion.submods.container.image_signatures.map(s, s.signature_algorithm + ':' + s.key_id))",
      ":fp",
      ":other",
    ],
    [
      "assertion.sub.startsWith('https://www.googleapis.com/compute/v1/projects/p/')",
      "projects/p",
      "projects/q",
    ],
    ["has(assertion.submods.container) && assertion.iat > 1715968096", "096", "097"],
    ["attribute.env == 'prod'", "prod", "dev"],
  ];
  for (const [condition, from, to] of conditions) {
    assert.equal(holds(condition), true, condition);
    assert.equal(holds(condition.replace(from, to)), false, `${condition} with ${to}`);
  }
});

test("only `true` passes: a truthy value, a missing claim and a wrong type are a no", () => {
  const rows = [
    "assertion.swname",
    "assertion.iat",
    "assertion.submods",
    "assertion.google_service_accounts",
    "assertion.nothing == 'x'",
    "assertion.nothing",
    "assertion.submods.nothing.id != 'x'",
    "assertion.swname.nothing == 'x'",
    "'CONFIDENTIAL' in assertion.swname",
    "assertion.secboot == 'true'",
    "assertion.secboot && assertion.swname",
    "assertion.constructor != 'x'",
    "google.subject == 's'",
  ];
  for (const condition of rows) assert.equal(holds(condition), false, condition);
});

test("a condition that cannot work is refused when it is made", () => {
  const rows: [string, RegExp][] = [
    ["", /must have 1 to 4096 characters, got 0/],
    ["   ", /must have 1 to 4096 characters/],
    [`assertion.a == '${"x".repeat(4096)}'`, /got 4113/],
    ["'yes'", /must be a bool, got string/],
    ["1", /must be a bool, got int/],
    ["assertion.a ==", /is not valid CEL/],
    ["assertion.a == 'x", /is not valid CEL/],
    ["asertion.a == 'x'", /is not valid CEL: Unknown variable: asertion/],
    ["assertion.a == 'x' && 'y'", /is not valid CEL/],
    ["nothing(assertion.a)", /is not valid CEL/],
  ];
  for (const [condition, message] of rows) {
    assert.throws(() => compileCondition(condition), { code: "CONFIG_INVALID", message }, condition);
  }
});

test("a mapping gives subject, groups and attributes, or nothing at all", () => {
  const mapping = compileMapping({
    "google.subject":
      "'gcpcvm::' + assertion.submods.gce.project_number + '::' + assertion.submods.gce.instance_id",
    "google.groups": "assertion.submods.confidential_space.support_attributes",
    "attribute.image_digest": "assertion.submods.container.image_digest",
  });
  assert.deepEqual(mapping(claims), {
    subject: "gcpcvm::123::733",
    groups: ["LATEST", "STABLE", "USABLE"],
    attributes: { image_digest: "sha256:aa" },
  });
  assert.equal(mapping({ ...claims, submods: {} }), undefined);
  const rows = [
    { "google.subject": "assertion.secboot" },
    { "google.subject": "''" },
    { "google.subject": "assertion.nothing" },
    { "google.subject": "'s'", "attribute.n": "assertion.iat" },
    { "google.subject": "'s'", "google.groups": "assertion.swname" },
  ];
  for (const row of rows) assert.equal(compileMapping(row)(claims), undefined, JSON.stringify(row));
});

test("a mapping without a subject, to an unknown target or by no CEL is refused when it is made", () => {
  assert.throws(() => compileMapping({}), {
    code: "CONFIG_INVALID",
    message: "attribute mapping has no google.subject",
  });
  const rows: [Record<string, string>, RegExp][] = [
    [{ "google.subject": "'s'", "google.email": "'e'" }, /unknown target "google.email"/],
    [{ "google.subject": "'s'", "attribute.A": "'e'" }, /unknown target "attribute.A"/],
    [{ "google.subject": "attribute.a" }, /is not valid CEL/],
    [{ "google.subject": "" }, /must have 1 to 2048 characters/],
  ];
  for (const [row, message] of rows)
    assert.throws(() => compileMapping(row), { code: "CONFIG_INVALID", message });
});
