import { createClient } from "@polaris-cvm/sdk";
import type { Client, Protection } from "@polaris-cvm/sdk";
import type { DeployedStack, LockFile } from "./lock-file/schema.ts";
import { planExpectations, requireExpectations } from "./verify.ts";

export interface StackClientOptions {
  readonly lockFile: LockFile;
  readonly stack: string;
  /** Endpoint to talk to; without one, the deployed one. */
  readonly url?: string;
  readonly acceptSimulated: boolean;
  /** INSECURE: seals to whatever key the endpoint names. */
  readonly insecureSkipVerification: boolean;
}

/** A client for a stack's endpoint that verifies against polaris.lock before it sends anything. */
export function createStackClient(options: StackClientOptions): Client & { readonly endpoint: string } {
  const { deployed } = requireExpectations(options.lockFile, options.stack);
  const endpoint = options.url ?? deployed.endpoint;
  const client = createClient({
    url: endpoint,
    requests: protectionFor(deployed.encryption.requests),
    responses: protectionFor(deployed.encryption.responses),
    ...(options.insecureSkipVerification
      ? { insecureSkipVerification: true }
      : { expect: planExpectations(options.lockFile, options.stack, options.acceptSimulated) }),
  });
  return { ...client, endpoint };
}

/** Sealed wherever the proxy takes it. */
function protectionFor(mode: DeployedStack["encryption"]["requests"]): Protection {
  return mode === "off" ? "clear" : "sealed";
}
