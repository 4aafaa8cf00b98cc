import * as pulumi from "@pulumi/pulumi";
import { WorkloadIdentityPool } from "@pulumi/gcp/iam/workloadIdentityPool.js";
import { WorkloadIdentityPoolProvider } from "@pulumi/gcp/iam/workloadIdentityPoolProvider.js";
import type { EnabledServices } from "./enabled-services.ts";
import type { AttestedPoolInputs } from "./part-inputs.ts";

export interface AttestedPoolArgs {
  readonly description: string;
  readonly pool: AttestedPoolInputs;
  /** Whether the key is kept, and the way to it with it. */
  readonly isKept: boolean;
  readonly services: EnabledServices;
}

/**
 * Turns attestation tokens that meet the condition, and no others, into principals. Protected like the key: Google keeps the id of
 * a pool that was deleted for 30 days, and as long nobody would get to the key again.
 */
export class AttestedPool extends pulumi.ComponentResource {
  readonly pool: WorkloadIdentityPool;
  /** "projects/N/locations/global/workloadIdentityPools/POOL/providers/PROVIDER" */
  readonly provider: pulumi.Output<string>;

  constructor(name: string, args: AttestedPoolArgs, opts: pulumi.ComponentResourceOptions) {
    super("polaris:gcp:AttestedPool", name, {}, opts);
    const { poolId, providerId, issuerUri, allowedAudiences, attributeCondition, subjectMapping } = args.pool;
    this.pool = new WorkloadIdentityPool(
      name,
      { workloadIdentityPoolId: poolId, description: args.description },
      { parent: this, protect: args.isKept, dependsOn: args.services.of("iam.googleapis.com") },
    );
    this.provider = new WorkloadIdentityPoolProvider(
      `${name}-provider`,
      {
        workloadIdentityPoolId: this.pool.workloadIdentityPoolId,
        workloadIdentityPoolProviderId: providerId,
        attributeCondition,
        attributeMapping: { "google.subject": subjectMapping },
        oidc: { issuerUri, allowedAudiences: [...allowedAudiences] },
      },
      { parent: this, protect: args.isKept },
    ).name;
    this.registerOutputs({ pool: this.pool.name, provider: this.provider });
  }
}
