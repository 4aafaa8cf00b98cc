import { isPolarisError } from "@polaris-cvm/sdk/errors";
import * as z from "zod";
import { compileCondition, compileMapping } from "./cel.ts";
import { loadJsonConfig, parseServiceConfig } from "./json-config.ts";
import { KMS_ROLES, SERVICE_ACCOUNT_ROLES } from "./iam-roles.ts";

const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/, "expected 64 lowercase hex characters");
const nonEmpty = z.string().min(1);
const projectNumberSchema = z.string().regex(/^[0-9]+$/, "expected digits");
const kmsIdSchema = z.string().regex(/^[a-zA-Z0-9_-]{1,63}$/, "expected 1 to 63 of a-z A-Z 0-9 _ -");
const poolIdSchema = z
  .string()
  .regex(/^[a-z0-9-]{4,32}$/, "expected 4 to 32 of a-z 0-9 -")
  .refine((id) => !id.startsWith("gcp-"), "must not start with gcp-");
const memberSchema = z
  .string()
  .regex(
    /^(principal:\/\/|principalSet:\/\/|serviceAccount:|user:)\S/,
    "expected a principal, principalSet, serviceAccount or user",
  );

const machineSchema = z.strictObject({
  credentialSha256: sha256Schema,
  projectId: nonEmpty,
  projectNumber: projectNumberSchema,
  zone: nonEmpty,
  instanceName: nonEmpty,
  instanceId: nonEmpty,
  serviceAccount: nonEmpty,
});

const providerSchema = z
  .strictObject({
    id: poolIdSchema,
    disabled: z.boolean().default(false),
    issuerUri: z.union([z.literal("self"), z.url({ protocol: /^https?$/ })]),
    allowedAudiences: z.array(nonEmpty.max(256)).max(10),
    attributeMapping: z.record(z.string(), nonEmpty),
    // Never optional: a provider without a condition trusts every machine of its issuer.
    attributeCondition: nonEmpty,
  })
  .superRefine((provider, context) => {
    reportProblem(context, "attributeMapping", () => compileMapping(provider.attributeMapping));
    reportProblem(context, "attributeCondition", () => compileCondition(provider.attributeCondition));
  });

const configSchema = z.strictObject({
  version: z.literal(1),
  /** 0: any free port, reported in the log. */
  port: z.number().int().min(0).max(65_535),
  /** Unix socket at which the services answer too: for a proxy in a container, whose group may connect. */
  socket: z
    .strictObject({ path: z.string().startsWith("/"), group: z.int().min(0).nullable() })
    .nullable()
    .default(null),
  stateDir: nonEmpty,
  machines: z.array(machineSchema),
  administrators: z.array(z.strictObject({ credentialSha256: sha256Schema, email: nonEmpty })),
  workloadIdentity: z.strictObject({
    projectNumber: projectNumberSchema,
    pools: uniqueIds(
      z.strictObject({
        id: poolIdSchema,
        disabled: z.boolean().default(false),
        providers: uniqueIds(providerSchema),
      }),
    ),
  }),
  serviceAccounts: z
    .array(
      z.strictObject({
        email: nonEmpty,
        bindings: z.array(
          z.strictObject({ role: z.enum(SERVICE_ACCOUNT_ROLES), members: z.array(memberSchema) }),
        ),
      }),
    )
    .default([]),
  kms: z.strictObject({
    project: nonEmpty,
    location: nonEmpty,
    keyRings: uniqueIds(
      z.strictObject({
        id: kmsIdSchema,
        cryptoKeys: uniqueIds(
          z.strictObject({
            id: kmsIdSchema,
            bindings: z.array(z.strictObject({ role: z.enum(KMS_ROLES), members: z.array(memberSchema) })),
          }),
        ),
      }),
    ),
  }),
});

/** Configuration of the trust services, checked completely: conditions and mappings compile. */
export type TrustConfig = z.infer<typeof configSchema>;

/** The same as it is written: what has a default can be left out. */
export type TrustConfigInput = z.input<typeof configSchema>;

/**
 * @throws {PolarisError} CONFIG_FILE_NOT_FOUND, CONFIG_UNREADABLE, CONFIG_SYNTAX or CONFIG_INVALID with every problem
 */
export async function loadTrustConfig(path: string): Promise<TrustConfig> {
  return parseTrustConfig(await loadJsonConfig(path));
}

/** @throws {PolarisError} CONFIG_INVALID with every problem */
export function parseTrustConfig(value: unknown): TrustConfig {
  return parseServiceConfig(configSchema, value, "the trust services");
}

/** Ids become names of folders, and some file systems do not tell upper from lower case. */
function uniqueIds<Item extends z.ZodType<{ id: string }>>(item: Item): z.ZodArray<Item> {
  return z.array(item).superRefine((items, context) => {
    const seen = new Set<string>();
    for (const [index, { id }] of items.entries()) {
      if (seen.has(id.toLowerCase())) {
        context.addIssue({ code: "custom", path: [index, "id"], message: `"${id}" is there twice` });
      }
      seen.add(id.toLowerCase());
    }
  });
}

function reportProblem(context: z.RefinementCtx, field: string, check: () => unknown): void {
  try {
    check();
  } catch (error) {
    if (!isPolarisError(error)) throw error;
    context.addIssue({ code: "custom", path: [field], message: error.message });
  }
}
