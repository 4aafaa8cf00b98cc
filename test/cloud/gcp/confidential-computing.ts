import { randomBytes, randomUUID } from "node:crypto";
import { Refusal } from "@polaris-cvm/stacks/local/trust/google-error.ts";
import { parseAudience, parseNonces } from "@polaris-cvm/stacks/local/trust/issuer.ts";
import type * as z from "zod";
import type { Api, Call } from "./api.ts";
import type { AttestationIssuer, VerifiedMachine } from "./attestation-issuer.ts";
import {
  readMessage,
  type VerifyAttestationRequest,
  challengeSchema,
  verifySchema,
} from "./confidential-computing-messages.ts";
import { GoogleError } from "./google-error.ts";
import type { World } from "./world.ts";

/** What a machine brings to prove itself. */
export interface Evidence {
  readonly request: VerifyAttestationRequest;
  /** Name of the challenge: the audience that the service account's tokens must have. */
  readonly challenge: string;
  /** The nonce that the quotes must be over. */
  readonly nonce: Uint8Array;
}

/** Says what the evidence proves. Throws a `GoogleError` if it proves nothing. */
export type AttestationVerifier = (evidence: Evidence) => Promise<VerifiedMachine>;

export interface ConfidentialComputingOptions {
  readonly issuer: AttestationIssuer;
  readonly verify: AttestationVerifier;
}

interface Challenge {
  readonly name: string;
  readonly nonce: Uint8Array;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  used: boolean;
}

const PREFIX = "confidentialcomputing.projects.locations";
const LOCATIONS = [
  "asia-southeast1",
  "europe-west1",
  "europe-west3",
  "europe-west4",
  "us-central1",
  "us-east1",
];
const CHALLENGE_MS = 3600_000;
const NONCE_BYTES = 32;
const DEFAULT_AUDIENCE = "https://sts.googleapis.com";

/** Confidential Computing: a challenge, evidence over its nonce, and a token about the machine. */
export function createConfidentialComputingApi(world: World, options: ConfidentialComputingOptions): Api {
  const challenges = new Map<string, Challenge>();

  const createChallenge = (call: Call): unknown => {
    const parent = world.canonicalName(
      `projects/${param(call, "projectsId")}/locations/${param(call, "locationsId")}`,
    );
    world.requirePermission(call.caller, "confidentialcomputing.challenges.create", parent);
    requireLocation(param(call, "locationsId"));
    readMessage(challengeSchema, call.body);
    const challenge: Challenge = {
      name: `${parent}/challenges/${randomUUID()}`,
      nonce: randomBytes(NONCE_BYTES),
      createdAtMs: world.now(),
      expiresAtMs: world.now() + CHALLENGE_MS,
      used: false,
    };
    challenges.set(challenge.name, challenge);
    return toJson(challenge);
  };

  const verifyAttestation = async (call: Call): Promise<unknown> => {
    const name = world.canonicalName(
      `projects/${param(call, "projectsId")}/locations/${param(call, "locationsId")}/challenges/${param(call, "challengesId")}`,
    );
    world.requirePermission(call.caller, "confidentialcomputing.challenges.verify", name);
    const request = readMessage(verifySchema, call.body);
    const tokenRequest = readTokenOptions(request.tokenOptions);
    const challenge = challenges.get(name);
    if (challenge === undefined) throw new GoogleError("NOT_FOUND", `The challenge ${name} was not found.`);
    if (challenge.used || challenge.expiresAtMs <= world.now()) {
      const what = challenge.used ? "has already been used" : "has expired";
      throw new GoogleError("FAILED_PRECONDITION", `The challenge ${name} ${what}.`);
    }
    // Before the evidence is looked at: a second guess needs a second challenge.
    challenge.used = true;
    const verified = await options.verify({ request, challenge: name, nonce: challenge.nonce });
    return { oidcClaimsToken: await options.issuer.sign(verified, tokenRequest) };
  };

  return {
    name: "confidentialcomputing",
    title: "Confidential Computing API",
    // Google publishes no discovery document for it: the messages are checked by its Protocol Buffers definition.
    documents: [],
    undocumentedMethods: [
      { id: `${PREFIX}.list`, httpMethod: "GET", flatPath: "v1/projects/{projectsId}/locations" },
      {
        id: `${PREFIX}.get`,
        httpMethod: "GET",
        flatPath: "v1/projects/{projectsId}/locations/{locationsId}",
      },
      {
        id: `${PREFIX}.challenges.create`,
        httpMethod: "POST",
        flatPath: "v1/projects/{projectsId}/locations/{locationsId}/challenges",
      },
      {
        id: `${PREFIX}.challenges.verifyAttestation`,
        httpMethod: "POST",
        flatPath:
          "v1/projects/{projectsId}/locations/{locationsId}/challenges/{challengesId}:verifyAttestation",
      },
    ],
    handlers: {
      [`${PREFIX}.list`]: (call) => {
        const project = param(call, "projectsId");
        world.requirePermission(call.caller, "confidentialcomputing.locations.list", `projects/${project}`);
        return { locations: LOCATIONS.map((location) => locationJson(project, location)) };
      },
      [`${PREFIX}.get`]: (call) => {
        const project = param(call, "projectsId");
        world.requirePermission(call.caller, "confidentialcomputing.locations.get", `projects/${project}`);
        requireLocation(param(call, "locationsId"));
        return locationJson(project, param(call, "locationsId"));
      },
      [`${PREFIX}.challenges.create`]: createChallenge,
      [`${PREFIX}.challenges.verifyAttestation`]: verifyAttestation,
    },
  };
}

/** Audience and nonces as the attestation issuer takes them. Throws a `GoogleError` INVALID_ARGUMENT. */
function readTokenOptions(options: z.infer<typeof verifySchema>["tokenOptions"]): {
  readonly audience: string;
  readonly nonces: readonly string[];
} {
  const { audience = "", nonce = [], tokenType } = options ?? {};
  if (tokenType !== undefined && tokenType !== "TOKEN_TYPE_OIDC" && tokenType !== 1) {
    throw new GoogleError("UNIMPLEMENTED", `Here are only tokens of TOKEN_TYPE_OIDC, not ${tokenType}.`);
  }
  if (audience === "" && nonce.length > 0) {
    throw new GoogleError("INVALID_ARGUMENT", "An audience is required where a nonce is given.");
  }
  try {
    return {
      audience: parseAudience(audience === "" ? DEFAULT_AUDIENCE : audience),
      nonces: parseNonces(nonce),
    };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { error: described } = error.response.body as { readonly error: { readonly message: string } };
    throw new GoogleError("INVALID_ARGUMENT", described.message);
  }
}

function requireLocation(location: string): void {
  if (LOCATIONS.includes(location)) return;
  throw new GoogleError("NOT_FOUND", `Location ${location} is not found or access is unauthorized.`);
}

function locationJson(project: string, location: string): unknown {
  return { name: `projects/${project}/locations/${location}`, locationId: location };
}

function toJson({ name, nonce, createdAtMs, expiresAtMs }: Challenge): unknown {
  return {
    name,
    createTime: new Date(createdAtMs).toISOString(),
    expireTime: new Date(expiresAtMs).toISOString(),
    tpmNonce: Buffer.from(nonce).toString("base64"),
  };
}

function param(call: Call, name: string): string {
  return call.params[name] ?? "";
}
