import {
  compileCondition,
  compileMapping,
  type Condition,
  type Mapping,
} from "@polaris-cvm/stacks/local/trust/cel.ts";
import { isPolarisError } from "@polaris-cvm/sdk/errors";
import type { JSONWebKeySet } from "jose";
import * as z from "zod";
import { GoogleError } from "../google-error.ts";
import type { Project } from "../world.ts";
import { checkTexts } from "./pool-texts.ts";

export const providerSchema = z.object({
  displayName: z.string().optional(),
  description: z.string().optional(),
  disabled: z.boolean().optional(),
  attributeMapping: z.record(z.string(), z.string()).optional(),
  attributeCondition: z.string().optional(),
  oidc: z
    .object({
      issuerUri: z.string().optional(),
      allowedAudiences: z.array(z.string()).optional(),
      jwksJson: z.string().optional(),
    })
    .optional(),
  aws: z.unknown().optional(),
  saml: z.unknown().optional(),
  x509: z.unknown().optional(),
});

/** What a caller says of a provider. */
export type ProviderSettings = z.infer<typeof providerSchema>;

/** The same, found valid and ready to judge tokens. */
export interface TokenRules {
  readonly issuerUri: string;
  readonly allowedAudiences: readonly string[];
  readonly mapping: Mapping;
  readonly condition: Condition;
  /** Keys that were uploaded: then nobody asks the issuer for its own. */
  readonly uploadedKeys: JSONWebKeySet | undefined;
}

const MAX_AUDIENCES = 10;
const MAX_AUDIENCE_BYTES = 256;
const MAX_ATTRIBUTES = 50;
const CONSTRAINT = "iam.workloadIdentityPoolProviders";

const jwksSchema = z.object({
  keys: z.array(z.looseObject({ kty: z.literal("RSA"), n: z.string(), e: z.string() })).min(1),
});

/**
 * Checks everything that Google checks when a provider is made or changed.
 *
 * @param ownIssuer  the one issuer that may be at an address without TLS: the attestation issuer of this world
 * @throws {GoogleError} INVALID_ARGUMENT, FAILED_PRECONDITION if an organization policy forbids the issuer
 */
export function compileProvider(
  settings: ProviderSettings,
  { project, ownIssuer }: { readonly project: Project; readonly ownIssuer: string },
): TokenRules {
  checkTexts(settings);
  const { oidc, aws, saml, x509 } = settings;
  if ([oidc, aws, saml, x509].filter((kind) => kind !== undefined).length !== 1) {
    throw invalid("Exactly one of aws, oidc, saml and x509 must be set.");
  }
  if (oidc === undefined) throw new GoogleError("UNIMPLEMENTED", "Here are only providers of the type OIDC.");
  const { issuerUri = "", allowedAudiences = [], jwksJson } = oidc;
  checkIssuer(issuerUri, ownIssuer);
  checkOrgPolicy(issuerUri, project);
  if (allowedAudiences.length > MAX_AUDIENCES) {
    throw invalid(`There can be at most ${MAX_AUDIENCES} allowed audiences.`);
  }
  for (const audience of allowedAudiences) {
    if (audience === "" || Buffer.byteLength(audience) > MAX_AUDIENCE_BYTES) {
      throw invalid(`An allowed audience must have 1 to ${MAX_AUDIENCE_BYTES} bytes.`);
    }
  }
  const expressions = settings.attributeMapping ?? {};
  if (Object.keys(expressions).filter((target) => target.startsWith("attribute.")).length > MAX_ATTRIBUTES) {
    throw invalid(`There can be at most ${MAX_ATTRIBUTES} mapped attributes.`);
  }
  const source = settings.attributeCondition ?? "";
  return {
    issuerUri,
    allowedAudiences,
    mapping: compiled(() => compileMapping(expressions)),
    // Without a condition everybody whom the issuer knows comes in: Google allows it, and so must this.
    condition: source === "" ? () => true : compiled(() => compileCondition(source)),
    uploadedKeys: jwksJson === undefined || jwksJson === "" ? undefined : parseKeys(jwksJson),
  };
}

function checkIssuer(issuerUri: string, ownIssuer: string): void {
  const isOwn = issuerUri.replace(/\/$/, "") === ownIssuer;
  if (!isOwn && (!issuerUri.startsWith("https://") || !URL.canParse(issuerUri))) {
    throw invalid(
      `The issuer URI must be a valid URI with the scheme https, got "${issuerUri.slice(0, 100)}".`,
    );
  }
}

function checkOrgPolicy(issuerUri: string, { orgPolicies, projectNumber }: Project): void {
  const policy = orgPolicies.get(CONSTRAINT);
  if (policy === undefined || "enforce" in policy || "allowAll" in policy) return;
  if ("allowedValues" in policy && policy.allowedValues.includes(issuerUri)) return;
  throw new GoogleError(
    "FAILED_PRECONDITION",
    `Operation denied by org policy on resource 'projects/${projectNumber}': ["constraints/${CONSTRAINT}": ` +
      `"The issuer ${issuerUri} is not allowed for workload identity pool providers."].`,
  );
}

function parseKeys(jwksJson: string): JSONWebKeySet {
  try {
    return jwksSchema.parse(JSON.parse(jwksJson));
  } catch {
    throw invalid("The uploaded JWKS is not a set of RSA keys.");
  }
}

function compiled<T>(compile: () => T): T {
  try {
    return compile();
  } catch (error) {
    if (!isPolarisError(error)) throw error;
    throw invalid(error.message);
  }
}

function invalid(message: string): GoogleError {
  return new GoogleError("INVALID_ARGUMENT", message);
}
