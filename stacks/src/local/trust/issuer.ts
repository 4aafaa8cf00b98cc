import { type JSONWebKeySet, SignJWT } from "jose";
import { sha256Hex } from "./authenticate.ts";
import { googleError } from "./google-error.ts";
import { parseJsonBody } from "./google-request.ts";
import type { SigningKey } from "./issuer-key.ts";
import { bearerCredential, type Service, type ServiceRequest, type ServiceResponse } from "./service.ts";

/** The machine that a token speaks about. */
export interface Machine {
  readonly projectId: string;
  readonly projectNumber: string;
  readonly zone: string;
  readonly instanceName: string;
  readonly instanceId: string;
  readonly serviceAccount: string;
}

/** What the issuer says that the machine runs on. */
export interface Platform {
  readonly hwmodel: string;
  readonly swname: string;
  readonly secboot: boolean;
  readonly dbgstat: string;
  /** IANA enterprise number of the platform's maker; 0 is reserved. */
  readonly oemid: number;
  subject(machine: Machine): string;
}

/** No hardware measures anything here, and the claims say so. */
export const SIMULATED_PLATFORM: Platform = {
  hwmodel: "POLARIS_SIMULATED_NO_TEE",
  swname: "POLARIS_SIMULATED",
  secboot: true,
  dbgstat: "enabled",
  oemid: 0,
  subject: (machine) =>
    `simulated://projects/${machine.projectId}/zones/${machine.zone}/instances/${machine.instanceName}`,
};

export interface IssuerOptions {
  /** `iss` of every token; the service answers below the path of this URL. */
  readonly issuerUrl: string;
  readonly signingKey: SigningKey;
  readonly platform: Platform;
  /** The machine that holds a credential, found by the credential's SHA-256 (lowercase hex). */
  readonly findMachine: (credentialSha256: string) => Machine | undefined;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** What the bearer of a token wants to be in it. */
export interface TokenRequest {
  readonly audience: string;
  /** At most 6 of 8 to 88 bytes. */
  readonly nonces: readonly string[];
}

/** Lifetime of an attestation token, as of Google's. */
export const TOKEN_LIFETIME_SECONDS = 3600;

const MAX_AUDIENCE_BYTES = 512;
const MAX_NONCES = 6;
const NONCE_BYTES = { min: 8, max: 88 } as const;

/** The public keys of an issuer. */
export function issuerKeys(signingKey: SigningKey): JSONWebKeySet {
  return { keys: [signingKey.publicJwk] };
}

/**
 * The attestation issuer: OpenID discovery, JWKS, and tokens for machines that prove themselves by their credential.
 * `POST <issuer>/v1/token` takes the request of the Confidential Space launcher: `{audience, nonces, token_type}`.
 */
export function createIssuer(options: IssuerOptions): Service {
  const root = new URL(options.issuerUrl).pathname.replace(/\/$/, "");
  return ({ method, path, ...rest }) => {
    if (method === "GET" && path === `${root}/.well-known/openid-configuration`) {
      return {
        operation: "issuer.discovery",
        handle: async () => json(describeIssuer(options.issuerUrl, `${options.issuerUrl}/jwks`)),
      };
    }
    if (method === "GET" && path === `${root}/jwks`) {
      return { operation: "issuer.jwks", handle: async () => json(issuerKeys(options.signingKey)) };
    }
    if (method === "POST" && path === `${root}/v1/token`) {
      return {
        operation: "issuer.token",
        handle: async () => json(await issueToken(options, { method, path, ...rest })),
      };
    }
    return undefined;
  };
}

/** The discovery document of an issuer (OpenID Connect Discovery 1.0, section 3). */
export function describeIssuer(issuerUrl: string, jwksUri: string): Record<string, unknown> {
  return {
    issuer: issuerUrl,
    jwks_uri: jwksUri,
    response_types_supported: ["id_token"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: ["RS256"],
    scopes_supported: ["openid"],
  };
}

async function issueToken(options: IssuerOptions, request: ServiceRequest): Promise<{ token: string }> {
  const machine = authenticateMachine(options, request);
  const body = parseJsonBody(request, ["audience", "nonces", "token_type"]);
  const audience = parseAudience(body.audience);
  const nonces = parseNonces(body.nonces);
  if (body.token_type !== "OIDC") {
    throw googleError("INVALID_ARGUMENT", 'token_type must be "OIDC"', { reason: "wrong token type" });
  }
  return { token: await signAttestationToken(options, machine, { audience, nonces }) };
}

/** An attestation token of the issuer: what it says is true because the caller has found it to be so. */
export async function signAttestationToken(
  options: Pick<IssuerOptions, "issuerUrl" | "signingKey" | "platform" | "now">,
  machine: Machine,
  { audience, nonces }: TokenRequest,
): Promise<string> {
  const issuedAt = Math.floor(options.now() / 1000);
  const { hwmodel, swname, secboot, dbgstat, oemid } = options.platform;
  const claims = {
    ...(nonces.length === 0 ? {} : { eat_nonce: nonces.length === 1 ? nonces[0] : nonces }),
    secboot,
    oemid,
    hwmodel,
    swname,
    dbgstat,
    submods: {
      gce: {
        zone: machine.zone,
        project_id: machine.projectId,
        project_number: machine.projectNumber,
        instance_name: machine.instanceName,
        instance_id: machine.instanceId,
      },
    },
    google_service_accounts: [machine.serviceAccount],
  };
  const { privateKey, publicJwk } = options.signingKey;
  return new SignJWT(claims)
    .setProtectedHeader({ alg: "RS256", kid: publicJwk.kid, typ: "JWT" })
    .setIssuer(options.issuerUrl)
    .setSubject(options.platform.subject(machine))
    .setAudience(audience)
    .setIssuedAt(issuedAt)
    .setNotBefore(issuedAt)
    .setExpirationTime(issuedAt + TOKEN_LIFETIME_SECONDS)
    .sign(privateKey);
}

function authenticateMachine(options: IssuerOptions, request: ServiceRequest): Machine {
  const credential = bearerCredential(request);
  if (credential === undefined) {
    throw googleError("UNAUTHENTICATED", "Request is missing required authentication credential.", {
      reason: "no credential",
    });
  }
  const machine = options.findMachine(sha256Hex(credential));
  if (machine === undefined) {
    throw googleError("UNAUTHENTICATED", "Request had invalid authentication credentials.", {
      reason: "credential of no machine",
    });
  }
  return machine;
}

/** @throws {Refusal} INVALID_ARGUMENT */
export function parseAudience(value: unknown): string {
  if (typeof value !== "string" || value === "" || Buffer.byteLength(value) > MAX_AUDIENCE_BYTES) {
    throw googleError("INVALID_ARGUMENT", `audience must be a string of 1 to ${MAX_AUDIENCE_BYTES} bytes`, {
      reason: "wrong audience",
    });
  }
  return value;
}

/** @throws {Refusal} INVALID_ARGUMENT */
export function parseNonces(value: unknown): readonly string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.length > MAX_NONCES) {
    throw googleError("INVALID_ARGUMENT", `nonces must be a list of at most ${MAX_NONCES}`, {
      reason: "wrong nonces",
    });
  }
  return value.map((nonce: unknown) => {
    const bytes = typeof nonce === "string" ? Buffer.byteLength(nonce) : 0;
    if (typeof nonce !== "string" || bytes < NONCE_BYTES.min || bytes > NONCE_BYTES.max) {
      throw googleError(
        "INVALID_ARGUMENT",
        `a nonce must have ${NONCE_BYTES.min} to ${NONCE_BYTES.max} bytes`,
        {
          reason: "wrong nonce",
        },
      );
    }
    return nonce;
  });
}

function json(body: unknown): ServiceResponse {
  return { status: 200, body };
}
