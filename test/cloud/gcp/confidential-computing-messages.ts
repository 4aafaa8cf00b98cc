import * as z from "zod";
import { badRequest } from "./google-error.ts";

/**
 * Messages of google/cloud/confidentialcomputing/v1/service.proto as JSON. Strict: Google refuses unknown fields. Nvidia's
 * evidence is not looked into.
 */
const bytesSchema = z.string().regex(/^[\w+/-]*={0,2}$/, "expected base64");

export const challengeSchema = z.strictObject({
  name: z.string().optional(),
  createTime: z.string().optional(),
  expireTime: z.string().optional(),
  used: z.boolean().optional(),
  tpmNonce: z.string().optional(),
});

const quoteSchema = z.strictObject({
  /** TPM_ALG_ID */
  hashAlgo: z.int().default(0),
  pcrValues: z.record(z.string().regex(/^\d{1,2}$/), bytesSchema).default({}),
  rawQuote: bytesSchema.default(""),
  rawSignature: bytesSchema.default(""),
});

const tpmSchema = z.strictObject({
  quotes: z.array(quoteSchema).default([]),
  tcgEventLog: bytesSchema.default(""),
  canonicalEventLog: bytesSchema.default(""),
  akCert: bytesSchema.default(""),
  certChain: z.array(bytesSchema).default([]),
});

export const verifySchema = z
  .strictObject({
    challenge: z.string().optional(),
    gcpCredentials: z.strictObject({ serviceAccountIdTokens: z.array(z.string()).default([]) }).optional(),
    tpmAttestation: tpmSchema,
    confidentialSpaceInfo: z.strictObject({ signedEntities: z.array(z.unknown()).optional() }).optional(),
    tokenOptions: z
      .strictObject({
        audience: z.string().optional(),
        nonce: z.array(z.string()).optional(),
        /** By name or by number. */
        tokenType: z.union([z.string(), z.int()]).optional(),
        awsPrincipalTagsOptions: z.unknown().optional(),
      })
      .optional(),
    tdCcel: z
      .strictObject({
        ccelAcpiTable: bytesSchema.optional(),
        ccelData: bytesSchema.optional(),
        canonicalEventLog: bytesSchema.optional(),
        tdQuote: bytesSchema.optional(),
      })
      .optional(),
    sevSnpAttestation: z
      .strictObject({ report: bytesSchema.default(""), auxBlob: bytesSchema.default("") })
      .optional(),
    nvidiaAttestation: z.unknown().optional(),
    attester: z.string().optional(),
    instance: z.string().optional(),
  })
  .refine(
    ({ tdCcel, sevSnpAttestation }) => tdCcel === undefined || sevSnpAttestation === undefined,
    "only one of tdCcel and sevSnpAttestation can be set",
  );

export type VerifyAttestationRequest = z.infer<typeof verifySchema>;

/**
 * A message of a body.
 *
 * @throws {GoogleError} INVALID_ARGUMENT with the first problem
 */
export function readMessage<T>(schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const path = issue?.path.join(".") ?? "";
  throw badRequest(
    `Invalid JSON payload received. Invalid value at '${path}': ${issue?.message ?? ""}`,
    path,
  );
}
