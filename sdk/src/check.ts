/** What a verification looks at, in the order in which it is reported. The ids are API. */
export const CHECK_IDS = [
  "document",
  "nonce",
  "token-signature",
  "token-time",
  "issuer",
  "audience",
  "key-binding",
  "public-key",
  "tls-key",
  "stack",
  "tee",
  "software",
  "secure-boot",
  "debug",
  "project",
  "instance",
  "service-account",
] as const;

export type CheckId = (typeof CHECK_IDS)[number];

/** One finding: what was expected and what the evidence says, both as text for people. */
export interface Check {
  readonly id: CheckId;
  readonly ok: boolean;
  readonly expected: string;
  readonly actual: string;
}
