import { PolarisError } from "@polaris-cvm/sdk/errors";
import * as z from "zod";
import { RESTORE } from "./issuer-key.ts";

/** States of a key version, by Google's names. */
export const KEY_VERSION_STATES = [
  "PENDING_GENERATION",
  "ENABLED",
  "DISABLED",
  "DESTROY_SCHEDULED",
  "DESTROYED",
  "GENERATION_FAILED",
] as const;

export type KeyVersionState = (typeof KEY_VERSION_STATES)[number];

/** Facts of one key version; times in milliseconds since 1970. */
export interface KeyVersion {
  readonly number: number;
  readonly state: KeyVersionState;
  readonly createdAtMs: number;
  readonly generatedAtMs?: number | undefined;
  /** When the key of a version that is DESTROY_SCHEDULED goes. */
  readonly destroyAtMs?: number | undefined;
  /** When it went. */
  readonly destroyedAtMs?: number | undefined;
  /** SPKI, PEM; absent until generated. */
  readonly publicKeyPem?: string | undefined;
}

/** Facts of a crypto key: the content of its `key.json`. */
export interface KeyManifest {
  readonly createdAtMs: number;
  readonly versions: readonly KeyVersion[];
}

const timeSchema = z.number().int().nonnegative();
const manifestSchema = z.strictObject({
  version: z.literal(1),
  createdAtMs: timeSchema,
  versions: z
    .array(
      z.strictObject({
        number: z.number().int().positive(),
        state: z.enum(KEY_VERSION_STATES),
        createdAtMs: timeSchema,
        generatedAtMs: timeSchema.optional(),
        destroyAtMs: timeSchema.optional(),
        destroyedAtMs: timeSchema.optional(),
        publicKeyPem: z.string().startsWith("-----BEGIN PUBLIC KEY-----").optional(),
      }),
    )
    .min(1),
});

/**
 * @param path for the message
 * @throws {PolarisError} STATE_CORRUPT
 */
export function parseManifest(text: string, path: string): KeyManifest {
  let parsed: z.infer<typeof manifestSchema>;
  try {
    parsed = manifestSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new PolarisError("STATE_CORRUPT", `${path} is not a list of key versions`, {
      hint: RESTORE,
      cause,
    });
  }
  const { createdAtMs, versions } = parsed;
  for (const [index, { number, state, publicKeyPem }] of versions.entries()) {
    const hasKey = publicKeyPem !== undefined;
    const needsKey = state === "ENABLED" || state === "DISABLED" || state === "DESTROY_SCHEDULED";
    if (number !== index + 1 || (needsKey && !hasKey)) {
      throw new PolarisError("STATE_CORRUPT", `${path} contradicts itself about version ${number}`, {
        hint: RESTORE,
      });
    }
  }
  return { createdAtMs, versions };
}

export function formatManifest({ createdAtMs, versions }: KeyManifest): string {
  return `${JSON.stringify({ version: 1, createdAtMs, versions }, null, 2)}\n`;
}
