import { crc32c } from "./crc32c.ts";
import type { KeyVersion, KeyVersionState } from "./kms-manifest.ts";
import { versionName } from "./kms-names.ts";

/** What holds the key. */
export type ProtectionLevel = "SOFTWARE" | "HSM";

export const ALGORITHM = "RSA_DECRYPT_OAEP_4096_SHA256";

/** Numbers of google/cloud/kms/v1/resources.proto, for clients that ask for `enum-encoding=int`. */
const STATE_NUMBERS = {
  ENABLED: 1,
  DISABLED: 2,
  DESTROYED: 3,
  DESTROY_SCHEDULED: 4,
  PENDING_GENERATION: 5,
  GENERATION_FAILED: 8,
} as const satisfies Record<KeyVersionState, number>;
const PROTECTION_LEVEL_NUMBERS = { SOFTWARE: 1, HSM: 2 } as const satisfies Record<ProtectionLevel, number>;
const ALGORITHM_NUMBER = 10;
const PURPOSE = { name: "ASYMMETRIC_DECRYPT", number: 6 } as const;

/** How enums are written. */
export interface EnumStyle {
  readonly numeric: boolean;
}

/** google.cloud.kms.v1.CryptoKey, as far as a key for decryption has its fields. */
export function formatCryptoKey(
  name: string,
  facts: {
    readonly createdAtMs: number;
    readonly protectionLevel: ProtectionLevel;
    readonly destroyScheduledSeconds: number;
  },
  style: EnumStyle,
): Record<string, unknown> {
  return {
    name,
    purpose: style.numeric ? PURPOSE.number : PURPOSE.name,
    createTime: timestamp(facts.createdAtMs),
    versionTemplate: {
      protectionLevel: formatProtectionLevel(facts.protectionLevel, style),
      algorithm: formatAlgorithm(style),
    },
    destroyScheduledDuration: `${facts.destroyScheduledSeconds}s`,
  };
}

/** google.cloud.kms.v1.CryptoKeyVersion */
export function formatVersion(
  cryptoKey: string,
  version: KeyVersion,
  protectionLevel: ProtectionLevel,
  style: EnumStyle,
): Record<string, unknown> {
  return {
    name: versionName(cryptoKey, version.number),
    state: style.numeric ? STATE_NUMBERS[version.state] : version.state,
    protectionLevel: formatProtectionLevel(protectionLevel, style),
    algorithm: formatAlgorithm(style),
    createTime: timestamp(version.createdAtMs),
    ...(version.generatedAtMs === undefined ? {} : { generateTime: timestamp(version.generatedAtMs) }),
    ...(version.destroyAtMs === undefined ? {} : { destroyTime: timestamp(version.destroyAtMs) }),
    ...(version.destroyedAtMs === undefined ? {} : { destroyEventTime: timestamp(version.destroyedAtMs) }),
  };
}

/** google.cloud.kms.v1.PublicKey */
export function formatPublicKey(
  name: string,
  pem: string,
  protectionLevel: ProtectionLevel,
  style: EnumStyle,
): Record<string, unknown> {
  return {
    pem,
    algorithm: formatAlgorithm(style),
    pemCrc32c: formatCrc32c(Buffer.from(pem)),
    name,
    protectionLevel: formatProtectionLevel(protectionLevel, style),
  };
}

/** google.cloud.kms.v1.AsymmetricDecryptResponse */
export function formatDecryption(
  plaintext: Uint8Array,
  verifiedCiphertextCrc32c: boolean,
  protectionLevel: ProtectionLevel,
  style: EnumStyle,
): Record<string, unknown> {
  return {
    plaintext: Buffer.from(plaintext).toString("base64"),
    plaintextCrc32c: formatCrc32c(plaintext),
    // Protocol Buffers leave out a field that has its default value.
    ...(verifiedCiphertextCrc32c ? { verifiedCiphertextCrc32c } : {}),
    protectionLevel: formatProtectionLevel(protectionLevel, style),
  };
}

/** The state that a client asks for, by name or by number; undefined for anything else. */
export function parseState(value: unknown): KeyVersionState | undefined {
  for (const [name, number] of Object.entries(STATE_NUMBERS)) {
    if (value === name || value === number) return name as KeyVersionState;
  }
  return undefined;
}

/** A checksum in JSON: an int64 is a string. */
export function formatCrc32c(bytes: Uint8Array): string {
  return String(crc32c(bytes));
}

function formatProtectionLevel(level: ProtectionLevel, style: EnumStyle): string | number {
  return style.numeric ? PROTECTION_LEVEL_NUMBERS[level] : level;
}

function formatAlgorithm(style: EnumStyle): string | number {
  return style.numeric ? ALGORITHM_NUMBER : ALGORITHM;
}

function timestamp(unixMs: number): string {
  return new Date(unixMs).toISOString();
}
