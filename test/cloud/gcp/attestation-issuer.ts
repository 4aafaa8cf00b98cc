import type { IncomingMessage, ServerResponse } from "node:http";
import { generateSigningKey, type SigningKey } from "@polaris-cvm/stacks/local/trust/issuer-key.ts";
import {
  describeIssuer,
  issuerKeys,
  type Machine,
  type Platform,
  signAttestationToken,
  type TokenRequest,
} from "@polaris-cvm/stacks/local/trust/issuer.ts";
import type { JSONWebKeySet } from "jose";
import type { HttpService } from "./api.ts";
import type { World } from "./world.ts";

/** `iss` of Google's attestation tokens. */
export const GOOGLE_ISSUER = "https://confidentialcomputing.googleapis.com";

/** What was found out about a machine from its evidence. */
export interface VerifiedMachine {
  readonly machine: Machine;
  readonly platform: Omit<Platform, "subject">;
}

/** Whoever signs attestation tokens in this world. */
export interface AttestationIssuer {
  /** `iss` of its tokens. */
  readonly issuer: string;
  readonly keys: JSONWebKeySet;
  /** Says in a token what was found out: the caller has verified it. */
  sign(verified: VerifiedMachine, request: TokenRequest): Promise<string>;
  /** Discovery and JWKS, without the token interface: tokens come from Confidential Computing. */
  readonly service: HttpService;
}

/**
 * Signs in Google's name, with keys of its own: relying parties of this world ask this world's endpoint for the keys.
 *
 * @param key  for tests that sign tokens themselves
 */
export async function createAttestationIssuer(
  world: World,
  options: { readonly key?: SigningKey } = {},
): Promise<AttestationIssuer> {
  const signingKey = options.key ?? (await generateSigningKey());
  const keys = issuerKeys(signingKey);
  return {
    issuer: GOOGLE_ISSUER,
    keys,
    sign: ({ machine, platform }, request) =>
      signAttestationToken(
        { issuerUrl: GOOGLE_ISSUER, signingKey, platform: { ...platform, subject }, now: world.now },
        machine,
        request,
      ),
    service: {
      name: "attestation",
      answer: (request, response) => {
        const origin = `http://${request.headers.host ?? ""}`;
        const documents: Readonly<Record<string, unknown>> = {
          "/.well-known/openid-configuration": describeIssuer(GOOGLE_ISSUER, `${origin}/jwks`),
          "/jwks": keys,
        };
        const path = request.url ?? "";
        send(response, Object.hasOwn(documents, path) && isRead(request) ? documents[path] : undefined);
      },
    },
  };
}

function subject({ projectId, zone, instanceName }: Machine): string {
  return `https://www.googleapis.com/compute/v1/projects/${projectId}/zones/${zone}/instances/${instanceName}`;
}

function isRead({ method }: IncomingMessage): boolean {
  return method === "GET" || method === "HEAD";
}

function send(response: ServerResponse, document: unknown): void {
  response.writeHead(document === undefined ? 404 : 200, { "content-type": "application/json" });
  response.end(
    JSON.stringify(document ?? { error: { code: 404, status: "NOT_FOUND", message: "not found" } }),
  );
}
