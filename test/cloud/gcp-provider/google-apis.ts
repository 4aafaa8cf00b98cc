/** The services that the provider calls, by the argument that moves them. */

export interface GoogleApi {
  /** Argument of the provider, a URL that ends in a version and a slash. */
  readonly endpoint: string;
  /**
   * Calls of hand-written clients differ on the wire: they ask for compact JSON, and put `v1/` in the place of the endpoint's
   * version.
   */
  readonly handWritten: boolean;
}

export const KMS: GoogleApi = { endpoint: "kmsCustomEndpoint", handWritten: false };
export const KMS_VERSIONS_AND_POLICIES: GoogleApi = { endpoint: "kmsCustomEndpoint", handWritten: true };
export const COMPUTE: GoogleApi = { endpoint: "computeCustomEndpoint", handWritten: false };
export const IDENTITY_POOLS: GoogleApi = { endpoint: "iamBetaCustomEndpoint", handWritten: false };
export const SERVICE_ACCOUNTS: GoogleApi = { endpoint: "iamBetaCustomEndpoint", handWritten: true };
export const PROJECTS: GoogleApi = { endpoint: "resourceManagerCustomEndpoint", handWritten: true };
export const BILLING: GoogleApi = { endpoint: "cloudBillingCustomEndpoint", handWritten: true };
export const SERVICES: GoogleApi = { endpoint: "serviceUsageCustomEndpoint", handWritten: true };
export const ARTIFACTS: GoogleApi = { endpoint: "artifactRegistryCustomEndpoint", handWritten: false };
export const SECRETS: GoogleApi = { endpoint: "secretManagerCustomEndpoint", handWritten: false };

/** A last segment, which is meant to be the version, and a slash. A bare host passes too, as with the real provider. */
export const ENDPOINT_PATTERN = /.*\/[^/]+\/$/;

/** The URL of a call. Parameters come sorted, as Go writes them. */
export function callUrl(
  api: GoogleApi,
  endpoint: string,
  path: string,
  query: Readonly<Record<string, string>>,
): string {
  const base = api.handWritten ? `${endpoint.replace(/[^/]+\/$/, "")}v1/` : endpoint;
  const parameters = new URLSearchParams({
    alt: "json",
    ...(api.handWritten ? { prettyPrint: "false" } : {}),
    ...query,
  });
  parameters.sort();
  return `${base}${path}?${parameters.toString()}`;
}
