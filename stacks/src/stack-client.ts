import { createClient, createPinnedFetch, parseEndpoint } from "@polaris-cvm/sdk";
import type { Client, PinnedFetch, Protection } from "@polaris-cvm/sdk";
import type { DeployedStack, LockFile } from "./lock-file/schema.ts";
import { planExpectations, requireExpectations } from "./verify.ts";

export interface StackClientOptions {
  readonly lockFile: LockFile;
  readonly stack: string;
  /** Endpoint to talk to; without one, the deployed one. */
  readonly url?: string;
  readonly acceptSimulated: boolean;
  /** INSECURE: seals to whatever key the endpoint names, and takes whatever TLS key it shows. */
  readonly insecureSkipVerification: boolean;
}

/**
 * A client for a stack's endpoint that verifies against polaris.lock before it sends anything, and where the TLS key is an
 * attested one speaks to that key only.
 */
export function createStackClient(options: StackClientOptions): Client & { readonly endpoint: string } {
  const { deployed } = requireExpectations(options.lockFile, options.stack);
  const endpoint = options.url ?? deployed.endpoint;
  const client = createClient({
    url: endpoint,
    requests: protectionFor(deployed.encryption.requests),
    responses: protectionFor(deployed.encryption.responses),
    ...(options.insecureSkipVerification
      ? {
          insecureSkipVerification: true,
          ...(deployed.tls === "attested" ? { fetch: unverifiedFetch() } : {}),
        }
      : { expect: planExpectations(options.lockFile, options.stack, options.acceptSimulated) }),
  });
  return { ...client, endpoint };
}

/**
 * INSECURE: a client for an endpoint that no polaris.lock knows. It seals both ways to whatever key the endpoint names, and
 * takes whatever TLS key it shows.
 *
 * @param url  any URL of the endpoint
 */
export function createUnverifiedClient(url: string): Client & { readonly endpoint: string } {
  const { origin: endpoint, protocol } = parseEndpoint(url);
  const client = createClient({
    url: endpoint,
    insecureSkipVerification: true,
    ...(protocol === "https:" ? { fetch: unverifiedFetch() } : {}),
  });
  return { ...client, endpoint };
}

/** No authority knows the certificate of an attested TLS key: the global fetch would refuse it. */
function unverifiedFetch(): typeof fetch {
  let pinned: Promise<PinnedFetch> | undefined;
  return async (input, init) => {
    pinned ??= createPinnedFetch();
    return await (
      await pinned
    )(input, init);
  };
}

/** Sealed wherever the proxy takes it. */
function protectionFor(mode: DeployedStack["encryption"]["requests"]): Protection {
  return mode === "off" ? "clear" : "sealed";
}
