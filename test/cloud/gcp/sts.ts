import type { AccessTokens } from "@polaris-cvm/stacks/local/trust/access-token.ts";
import { createIssuerKeysLoader } from "@polaris-cvm/stacks/local/trust/issuer-keys.ts";
import { createSts } from "@polaris-cvm/stacks/local/trust/sts.ts";
import type { JSONWebKeySet } from "jose";
import * as z from "zod";
import type { Api } from "./api.ts";
import { callTrust } from "./iam-trust-bridge.ts";
import type { IdentityPools } from "./iam/identity-pools.ts";
import type { World } from "./world.ts";

export interface StsApiOptions {
  readonly pools: IdentityPools;
  readonly accessTokens: AccessTokens;
  /** `iss` of this world's attestation tokens, and the keys that sign them. */
  readonly ownIssuer: string;
  readonly ownKeys: JSONWebKeySet;
}

/** Names of the document → names of the wire: the token endpoint takes a form (RFC 8693, section 2.1). */
const PARAMETERS = {
  grantType: "grant_type",
  audience: "audience",
  scope: "scope",
  requestedTokenType: "requested_token_type",
  subjectToken: "subject_token",
  subjectTokenType: "subject_token_type",
  options: "options",
} as const;
const bodySchema = z.record(z.string(), z.string());

/** Security Token Service: tokens of providers' issuers for access tokens of pools' principals. */
export function createStsApi(world: World, options: StsApiOptions): Api {
  const loadOtherKeys = createIssuerKeysLoader(world.now);
  const service = createSts({
    findProvider: (name) => options.pools.findForExchange(name),
    loadIssuerKeys: async (issuerUri, provider) => {
      const uploaded = options.pools.findUploadedKeys(provider);
      if (uploaded !== undefined) return uploaded;
      return issuerUri.replace(/\/$/, "") === options.ownIssuer ? options.ownKeys : loadOtherKeys(issuerUri);
    },
    accessTokens: options.accessTokens,
    now: world.now,
  });
  return {
    name: "sts",
    title: "Security Token Service API",
    documents: ["sts.v1.json"],
    publicMethods: ["sts.token"],
    handlers: {
      "sts.token": ({ body }) => {
        const fields = bodySchema.parse(body);
        const form = Object.entries(PARAMETERS).flatMap(([name, parameter]): [string, string][] => {
          const value = fields[name];
          return value === undefined ? [] : [[parameter, value]];
        });
        return callTrust(service, {
          method: "POST",
          path: "/v1/token",
          contentType: "application/x-www-form-urlencoded",
          body: new URLSearchParams(form).toString(),
        });
      },
    },
  };
}
