import { createHash, createPublicKey } from "node:crypto";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { DeployedStack } from "../lock-file/schema.ts";
import { keyVersionName } from "../plan.ts";
import type { Plan } from "../plan.ts";

/** What only the control plane knows: asked from the trust services, never from the endpoint that is to be checked. */
export interface ControlPlaneFacts {
  readonly issuer: string;
  readonly jwks: DeployedStack["jwks"];
  /** Undefined for an ephemeral key: no control plane knows it. */
  readonly key: { readonly version: string; readonly publicKeyFingerprint: string } | undefined;
}

/** Asks the local trust services with the administrator's credential. */
export async function readControlPlane(
  plan: Plan,
  options: {
    readonly trustUrl: string;
    readonly administratorCredential: string;
    readonly signal: AbortSignal;
  },
): Promise<ControlPlaneFacts> {
  const issuer = `${options.trustUrl}/issuer`;
  const discovery = await getJson(`${issuer}/.well-known/openid-configuration`, options.signal);
  const jwksUri = discovery["jwks_uri"];
  if (
    discovery["issuer"] !== issuer ||
    typeof jwksUri !== "string" ||
    !jwksUri.startsWith(`${options.trustUrl}/`)
  ) {
    throw new PolarisError("PART_FAILED", `the issuer at ${issuer} describes itself as somebody else`);
  }
  const { keys } = await getJson(jwksUri, options.signal);
  if (!Array.isArray(keys)) throw new PolarisError("PART_FAILED", `no keys at ${jwksUri}`);
  return {
    issuer,
    // The lock file's schema refuses whatever is not a public RSA key.
    jwks: { keys },
    key: plan.key.kind === "ephemeral" ? undefined : await readKey(plan, options),
  };
}

/** The key has one version; its public half is what the proxy publishes. */
async function readKey(
  plan: Plan,
  options: {
    readonly trustUrl: string;
    readonly administratorCredential: string;
    readonly signal: AbortSignal;
  },
): Promise<{ version: string; publicKeyFingerprint: string }> {
  const version = keyVersionName(plan.key);
  const answer = await getJson(
    `${options.trustUrl}/v1/${version}/publicKey`,
    options.signal,
    options.administratorCredential,
  );
  const pem = answer["pem"];
  if (typeof pem !== "string" || answer["name"] !== version) {
    throw new PolarisError("PART_FAILED", `the key service gave no public key for ${version}`);
  }
  const spki = createPublicKey(pem).export({ type: "spki", format: "der" });
  return { version, publicKeyFingerprint: `sha256:${createHash("sha256").update(spki).digest("hex")}` };
}

async function getJson(
  url: string,
  signal: AbortSignal,
  credential?: string,
): Promise<Record<string, unknown>> {
  let answer: unknown;
  try {
    const response = await fetch(url, {
      headers: credential === undefined ? {} : { authorization: `Bearer ${credential}` },
      redirect: "error",
      signal,
    });
    if (!response.ok) throw new Error(`${url} answered ${response.status}`);
    answer = await response.json();
  } catch (cause) {
    signal.throwIfAborted();
    throw new PolarisError("PART_FAILED", `the local trust services do not answer as they should`, {
      hint: 'see "polaris logs --part trust"; polaris deploy starts them again',
      cause,
    });
  }
  if (typeof answer !== "object" || answer === null) {
    throw new PolarisError("PART_FAILED", `${url} did not answer with a JSON object`);
  }
  return answer as Record<string, unknown>;
}
