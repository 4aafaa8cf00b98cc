import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTPayload, jwtVerify } from "jose";
import type { AccessTokens } from "./access-token.ts";
import type { Condition, Mapping, MappedAttributes } from "./cel.ts";
import { oauthError } from "./google-error.ts";
import { pathSegments, type Service, type ServiceRequest } from "./service.ts";

/** An OIDC provider of a workload identity pool: whose tokens, and on which condition. */
export interface IdentityProvider {
  /** `projects/<number>/locations/global/workloadIdentityPools/<pool>` */
  readonly pool: string;
  readonly id: string;
  readonly issuerUri: string;
  /** Empty: only the provider's own name is an audience. */
  readonly allowedAudiences: readonly string[];
  readonly mapping: Mapping;
  readonly condition: Condition;
}

export interface StsOptions {
  /**
   * The provider of a full resource name (`projects/…/providers/<id>`); undefined if it does not exist, or if it or its
   * pool is disabled.
   */
  readonly findProvider: (name: string) => IdentityProvider | undefined;
  /** The public keys of an issuer, as the provider of this full name sees it; rejects if it does not answer. */
  readonly loadIssuerKeys: (issuerUri: string, provider: string) => Promise<JSONWebKeySet>;
  readonly accessTokens: AccessTokens;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

const GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token";
const SUBJECT_TOKEN_TYPES: readonly string[] = [
  "urn:ietf:params:oauth:token-type:jwt",
  "urn:ietf:params:oauth:token-type:id_token",
];
const PARAMETERS = [
  "grant_type",
  "audience",
  "scope",
  "requested_token_type",
  "subject_token",
  "subject_token_type",
  "options",
] as const;
const SCOPE = "https://www.googleapis.com/auth/cloud-platform";
const AUDIENCE_PREFIX = "//iam.googleapis.com/";
const PROVIDER_NAME =
  /^projects\/[0-9]+\/locations\/global\/workloadIdentityPools\/[a-z0-9-]{4,32}\/providers\/[a-z0-9-]{4,32}$/;
const MAX_SUBJECT_BYTES = 127;
const MAX_ACCESS_TOKEN_SECONDS = 3600;
/** Longest lifetime of a subject token that Google takes. */
const MAX_SUBJECT_TOKEN_SECONDS = 86_400;

/**
 * Google's Security Token Service: `POST /v1/token`, a form by RFC 8693, attestation token in, access token of the
 * attested principal out. Answers with OAuth errors (RFC 6749 section 5.2), HTTP 400.
 */
export function createSts(options: StsOptions): Service {
  return (request) =>
    request.method === "POST" && pathSegments(request.path)?.join("/") === "v1/token"
      ? {
          operation: "sts.token",
          handle: async () => ({ status: 200, body: await exchange(options, request) }),
        }
      : undefined;
}

async function exchange(options: StsOptions, request: ServiceRequest): Promise<Record<string, unknown>> {
  const form = parseForm(request);
  if (form.grant_type !== GRANT_TYPE) {
    throw oauthError("unsupported_grant_type", `Invalid value for "grant_type".`, "wrong grant type");
  }
  if (form.requested_token_type !== ACCESS_TOKEN_TYPE) throw invalidValue("requested_token_type");
  if (form.subject_token_type === undefined || !SUBJECT_TOKEN_TYPES.includes(form.subject_token_type)) {
    throw invalidValue("subject_token_type");
  }
  if (form.subject_token === undefined || form.subject_token === "") throw invalidValue("subject_token");
  if (!(form.scope ?? "").split(" ").includes(SCOPE)) {
    throw oauthError("invalid_scope", "Invalid OAuth scope.", "scope is not cloud-platform");
  }
  const provider = findProvider(options, form.audience);
  const claims = await verifySubjectToken(options, provider, form.subject_token);
  const mapped = mapAttributes(provider, claims);
  if (!provider.condition(claims, mapped)) {
    throw oauthError(
      "unauthorized_client",
      "The given credential is rejected by the attribute condition.",
      "attribute condition is not true",
    );
  }
  // The access token never outlives the evidence that it stands for.
  const remainingSeconds = claims.exp - Math.floor(options.now() / 1000);
  const lifetimeSeconds = Math.min(MAX_ACCESS_TOKEN_SECONDS, remainingSeconds);
  const memberships = memberNames(provider.pool, mapped);
  const principal = memberships[0];
  const subject = { principal, memberships, pool: provider.pool };
  return {
    access_token: options.accessTokens.issue(subject, lifetimeSeconds),
    issued_token_type: ACCESS_TOKEN_TYPE,
    token_type: "Bearer",
    expires_in: lifetimeSeconds,
  };
}

function parseForm(request: ServiceRequest): Partial<Record<(typeof PARAMETERS)[number], string>> {
  const contentType = (request.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase();
  if (contentType !== "application/x-www-form-urlencoded") {
    throw oauthError("invalid_request", "The request body must be a form.", "content type is not a form");
  }
  const form: Partial<Record<(typeof PARAMETERS)[number], string>> = {};
  for (const [parameter, value] of new URLSearchParams(Buffer.from(request.body).toString("utf8"))) {
    const name = PARAMETERS.find((known) => known === parameter);
    if (name === undefined) {
      throw oauthError("invalid_request", "The request has an unknown parameter.", "unknown parameter");
    }
    // RFC 6749 section 3.2: parameters must not be included more than once.
    if (form[name] !== undefined) {
      throw oauthError("invalid_request", `The parameter "${name}" is repeated.`, "repeated parameter");
    }
    form[name] = value;
  }
  return form;
}

function findProvider(options: StsOptions, audience: string | undefined): IdentityProvider {
  const name = audience?.startsWith(AUDIENCE_PREFIX) === true ? audience.slice(AUDIENCE_PREFIX.length) : "";
  if (!PROVIDER_NAME.test(name)) {
    throw oauthError(
      "invalid_request",
      'Invalid value for "audience". This value should be the full resource name of the Identity Provider. See https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token for the list of possible formats.',
      "audience is not the name of a provider",
    );
  }
  const provider = options.findProvider(name);
  if (provider === undefined) {
    throw oauthError(
      "invalid_target",
      'The target service indicated by the "audience" parameters is invalid. This might either be because the pool or provider is disabled or deleted or because it doesn\'t exist.',
      "no such provider, or disabled",
    );
  }
  return provider;
}

type VerifiedClaims = JWTPayload & { readonly exp: number; readonly iat: number };

async function verifySubjectToken(
  options: StsOptions,
  provider: IdentityProvider,
  token: string,
): Promise<VerifiedClaims> {
  let keys: JSONWebKeySet;
  try {
    keys = await options.loadIssuerKeys(provider.issuerUri, `${provider.pool}/providers/${provider.id}`);
  } catch {
    throw invalidGrant("Error connecting to the given credential's issuer.", "issuer does not answer");
  }
  const now = options.now();
  let claims: JWTPayload;
  try {
    const verified = await jwtVerify(token, createLocalJWKSet(keys), {
      algorithms: ["RS256"],
      // Providers are written with and without the slash at the end; tokens are without.
      issuer: provider.issuerUri.replace(/\/$/, ""),
      audience: acceptedAudiences(provider),
      currentDate: new Date(now),
      requiredClaims: ["iss", "aud", "exp", "iat"],
    });
    claims = verified.payload;
  } catch (cause) {
    throw describeTokenProblem(cause);
  }
  const { exp, iat } = claims;
  if (exp === undefined || iat === undefined || iat > now / 1000 || exp - iat > MAX_SUBJECT_TOKEN_SECONDS) {
    throw invalidGrant(
      "The lifetime of the ID Token is invalid.",
      "token is issued in the future or lives too long",
    );
  }
  return { ...claims, exp, iat };
}

/** The provider's own name, with and without the scheme, stands in for an empty list. */
function acceptedAudiences(provider: IdentityProvider): string[] {
  if (provider.allowedAudiences.length > 0) return [...provider.allowedAudiences];
  const name = `//iam.googleapis.com/${provider.pool}/providers/${provider.id}`;
  return [name, `https:${name}`];
}

function describeTokenProblem(cause: unknown): Error {
  if (cause instanceof errors.JWTExpired) {
    return invalidGrant(
      `ID Token issued at ${String(cause.payload.iat)} is stale to sign-in.`,
      "token is expired",
    );
  }
  if (cause instanceof errors.JWTClaimValidationFailed) {
    if (cause.claim === "aud") {
      const audience = [cause.payload.aud ?? []].flat().join(", ");
      return invalidGrant(
        `The audience in ID Token [${audience}] does not match the expected audience.`,
        "token is for another audience",
      );
    }
    if (cause.claim === "iss") {
      return invalidGrant(
        `The issuer in ID Token ${cause.payload.iss ?? ""} does not match the expected ones.`,
        "token is from another issuer",
      );
    }
    if (cause.claim === "nbf") {
      return invalidGrant("The ID Token is not valid yet.", "token is not valid yet");
    }
    return invalidGrant(
      "A required claim of the ID Token is missing or invalid.",
      "token has no valid time claims",
    );
  }
  if (cause instanceof errors.JWSSignatureVerificationFailed || cause instanceof errors.JWKSNoMatchingKey) {
    return invalidGrant("Unable to verify the ID Token signature.", "token is not signed by the issuer");
  }
  if (cause instanceof errors.JOSEAlgNotAllowed) {
    return invalidGrant("Unable to verify the ID Token signature.", "token is not signed by RS256");
  }
  if (cause instanceof errors.JOSEError)
    return invalidGrant("Unable to parse the ID Token.", "token is malformed");
  throw cause;
}

function mapAttributes(provider: IdentityProvider, claims: JWTPayload): MappedAttributes {
  const mapped = provider.mapping(claims);
  if (mapped === undefined) {
    throw oauthError(
      "unauthorized_client",
      "Could not obtain a value for google.subject from the given credential.",
      "attribute mapping failed",
    );
  }
  if (Buffer.byteLength(mapped.subject) > MAX_SUBJECT_BYTES) {
    throw oauthError(
      "invalid_request",
      `The size of mapped attribute google.subject exceeds the ${MAX_SUBJECT_BYTES} bytes limit. Either modify your attribute mapping or the incoming assertion to produce a mapped attribute that is less than ${MAX_SUBJECT_BYTES} bytes.`,
      "google.subject is too long",
    );
  }
  return mapped;
}

/** Every name that a policy may grant rights to; the principal itself comes first. */
function memberNames(pool: string, mapped: MappedAttributes): readonly [string, ...string[]] {
  const name = `//iam.googleapis.com/${pool}`;
  return [
    `principal:${name}/subject/${mapped.subject}`,
    ...mapped.groups.map((group) => `principalSet:${name}/group/${group}`),
    ...Object.entries(mapped.attributes).map(
      ([key, value]) => `principalSet:${name}/attribute.${key}/${value}`,
    ),
    `principalSet:${name}/*`,
  ];
}

function invalidValue(parameter: string): Error {
  return oauthError("invalid_request", `Invalid value for "${parameter}".`, `wrong ${parameter}`);
}

function invalidGrant(description: string, reason: string): Error {
  return oauthError("invalid_grant", description, reason);
}
