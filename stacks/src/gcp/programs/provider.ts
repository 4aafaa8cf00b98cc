import * as pulumi from "@pulumi/pulumi";
import { Provider, type ProviderArgs } from "@pulumi/gcp/provider.js";
import type { ApiOrigins, CloudAccess } from "./part-inputs.ts";

/** Where resources without a place of their own are made. */
export interface ProviderPlace {
  readonly region?: string;
  readonly zone?: string;
}

/**
 * The one provider of a program. Explicit, so that neither the environment nor the engine's configuration says in which project
 * something is made.
 */
export function createProvider(access: CloudAccess, place: ProviderPlace = {}): Provider {
  return new Provider("gcp", {
    project: access.project,
    ...place,
    ...(access.accessToken === undefined ? {} : { accessToken: pulumi.secret(access.accessToken) }),
    ...(access.origins === undefined ? {} : customEndpoints(access.origins)),
    // Labels are the plan's: a label of Pulumi's own would be missing on what was adopted, and be a change for ever.
    addPulumiAttributionLabel: false,
    // The provider asks operations every 10 s by default: half of a deploy would be waiting.
    pollInterval: "1s",
  });
}

/**
 * The provider takes only endpoints that end with a version and a slash. Service accounts and pools both go by the beta
 * argument of IAM; those that no resource of ours uses today are set all the same, so that no call can stray to Google.
 */
function customEndpoints(origins: ApiOrigins): ProviderArgs {
  return {
    artifactRegistryCustomEndpoint: `${origins.artifactregistry}/v1/`,
    cloudBillingCustomEndpoint: `${origins.cloudbilling}/v1/`,
    cloudResourceManagerCustomEndpoint: `${origins.cloudresourcemanager}/v1/`,
    computeCustomEndpoint: `${origins.compute}/compute/v1/`,
    iamBetaCustomEndpoint: `${origins.iam}/v1/`,
    iamCredentialsCustomEndpoint: `${origins.iamcredentials}/v1/`,
    iamCustomEndpoint: `${origins.iam}/v1/`,
    kmsCustomEndpoint: `${origins.cloudkms}/v1/`,
    resourceManagerCustomEndpoint: `${origins.cloudresourcemanager}/v1/`,
    resourceManagerV3CustomEndpoint: `${origins.cloudresourcemanager}/v3/`,
    secretManagerCustomEndpoint: `${origins.secretmanager}/v1/`,
    serviceUsageCustomEndpoint: `${origins.serviceusage}/v1/`,
  };
}
