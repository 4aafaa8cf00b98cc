import * as z from "zod";
import { GoogleError } from "../google-error.ts";
import { checkLabels } from "../resource-labels.ts";
import type { KmsLocations } from "./locations.ts";

/** What a caller asks for when it makes a key. Enums as numbers, where a client writes them so (Protocol Buffers JSON). */
export const keySchema = z.object({
  purpose: z.union([z.string(), z.number()]).optional(),
  versionTemplate: z
    .object({
      algorithm: z.union([z.string(), z.number()]).optional(),
      protectionLevel: z.union([z.string(), z.number()]).optional(),
    })
    .optional(),
  destroyScheduledDuration: z.string().optional(),
  importOnly: z.boolean().optional(),
  labels: z.record(z.string(), z.string()).optional(),
  rotationPeriod: z.string().optional(),
  nextRotationTime: z.string().optional(),
});

export interface KeyFacts {
  readonly protectionLevel: "SOFTWARE" | "HSM";
  readonly destroyScheduledSeconds: number;
  readonly labels: Readonly<Record<string, string>>;
}

/** The one kind of key here; others of Google's are valid and not made. */
export const PURPOSE = "ASYMMETRIC_DECRYPT";
export const ALGORITHM = "RSA_DECRYPT_OAEP_4096_SHA256";

const DAY_SECONDS = 86_400;
const DEFAULT_DESTROY_SECONDS = 30 * DAY_SECONDS;
const DESTROY_SECONDS = { min: DAY_SECONDS, max: 120 * DAY_SECONDS } as const;
const ID = /^[a-zA-Z0-9_-]{1,63}$/;

/** Numbers of google/cloud/kms/v1/resources.proto. */
const PURPOSES: Readonly<Record<number, string>> = {
  1: "ENCRYPT_DECRYPT",
  5: "ASYMMETRIC_SIGN",
  6: PURPOSE,
  9: "MAC",
};
const PROTECTION_LEVELS: Readonly<Record<number, string>> = {
  1: "SOFTWARE",
  2: "HSM",
  3: "EXTERNAL",
  4: "EXTERNAL_VPC",
};
const ALGORITHMS: Readonly<Record<number, string>> = {
  1: "GOOGLE_SYMMETRIC_ENCRYPTION",
  8: "RSA_DECRYPT_OAEP_2048_SHA256",
  9: "RSA_DECRYPT_OAEP_3072_SHA256",
  10: ALGORITHM,
};

/** Which algorithms go with a purpose. */
const ALGORITHM_OF_PURPOSE: Readonly<Record<string, RegExp>> = {
  ENCRYPT_DECRYPT: /^GOOGLE_SYMMETRIC_ENCRYPTION$/,
  ASYMMETRIC_SIGN: /^(RSA_SIGN_|EC_SIGN_|PQ_SIGN_)/,
  ASYMMETRIC_DECRYPT: /^RSA_DECRYPT_/,
  MAC: /^HMAC_/,
};

/** @throws {GoogleError} INVALID_ARGUMENT */
export function checkKmsId(id: string, field: string): void {
  if (ID.test(id)) return;
  throw invalid(`${field} must match the regular expression [a-zA-Z0-9_-]{1,63}, got "${id.slice(0, 100)}".`);
}

/**
 * What a new key is, if it can be.
 *
 * @throws {GoogleError} INVALID_ARGUMENT; UNIMPLEMENTED for what Google has and this has not
 */
export function checkNewKey(
  asked: z.infer<typeof keySchema>,
  place: { readonly location: string; readonly locations: KmsLocations },
): KeyFacts {
  const purpose = nameOf(asked.purpose, PURPOSES);
  if (purpose === "") throw invalid("The purpose of the CryptoKey must be set.");
  const algorithm = nameOf(asked.versionTemplate?.algorithm, ALGORITHMS);
  if (algorithm === "" && purpose !== "ENCRYPT_DECRYPT") {
    throw invalid(`version_template.algorithm must be set for the purpose ${purpose}.`);
  }
  checkAlgorithm(purpose, algorithm === "" ? "GOOGLE_SYMMETRIC_ENCRYPTION" : algorithm);
  if (asked.rotationPeriod !== undefined || asked.nextRotationTime !== undefined) {
    if (purpose !== "ENCRYPT_DECRYPT") {
      throw invalid(
        `Automatic rotation is only supported for the purpose ENCRYPT_DECRYPT, not for ${purpose}.`,
      );
    }
  }
  const protectionLevel = nameOf(asked.versionTemplate?.protectionLevel, PROTECTION_LEVELS) || "SOFTWARE";
  if (protectionLevel === "HSM" && !place.locations.hasHsm(place.location)) {
    throw invalid(`The protection level HSM is not supported in the location ${place.location}.`);
  }
  const destroyScheduledSeconds = checkDuration(asked.destroyScheduledDuration);
  checkLabels(asked.labels ?? {});
  if (
    purpose !== PURPOSE ||
    algorithm !== ALGORITHM ||
    (protectionLevel !== "SOFTWARE" && protectionLevel !== "HSM") ||
    asked.importOnly === true
  ) {
    throw new GoogleError(
      "UNIMPLEMENTED",
      `Here are only keys of ${ALGORITHM}, in software or in an HSM, not ${purpose} ${algorithm} ${protectionLevel}.`,
    );
  }
  return { protectionLevel, destroyScheduledSeconds, labels: asked.labels ?? {} };
}

/** @throws {GoogleError} INVALID_ARGUMENT */
export function checkChangedAlgorithm(algorithm: string | number | undefined): void {
  const name = nameOf(algorithm, ALGORITHMS);
  checkAlgorithm(PURPOSE, name);
  if (name !== ALGORITHM) throw new GoogleError("UNIMPLEMENTED", `Here are only keys of ${ALGORITHM}.`);
}

function checkAlgorithm(purpose: string, algorithm: string): void {
  if (ALGORITHM_OF_PURPOSE[purpose]?.test(algorithm) === false) {
    throw invalid(`The algorithm ${algorithm} is not valid for the purpose ${purpose}.`);
  }
}

function checkDuration(duration: string | undefined): number {
  if (duration === undefined) return DEFAULT_DESTROY_SECONDS;
  const seconds = /^\d{1,9}s$/.test(duration) ? Number(duration.slice(0, -1)) : -1;
  if (seconds < DESTROY_SECONDS.min || seconds > DESTROY_SECONDS.max) {
    throw invalid(
      `destroy_scheduled_duration must be between ${DESTROY_SECONDS.min}s and ${DESTROY_SECONDS.max}s, got ${duration}.`,
    );
  }
  return seconds;
}

function nameOf(value: string | number | undefined, names: Readonly<Record<number, string>>): string {
  if (typeof value !== "number") return value?.endsWith("_UNSPECIFIED") === true ? "" : (value ?? "");
  return value === 0 ? "" : (names[value] ?? `number ${value}`);
}

function invalid(message: string): GoogleError {
  return new GoogleError("INVALID_ARGUMENT", message);
}
