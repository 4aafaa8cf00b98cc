import type { Api, Call } from "./api.ts";
import { GoogleError } from "./google-error.ts";
import { type IdentityPools, poolName } from "./iam/identity-pools.ts";
import { operationsOf } from "./iam/operation-names.ts";
import { poolMethods } from "./iam/pool-methods.ts";
import { providerMethods } from "./iam/provider-methods.ts";
import { serviceAccountMethods, type ServiceAccountsOptions } from "./iam/service-accounts.ts";
import { LongRunningOperations } from "./operations.ts";
import type { World } from "./world.ts";

export interface IamOptions extends ServiceAccountsOptions {
  readonly pools: IdentityPools;
  /** `iss` of this world's attestation tokens: the one issuer that may be without TLS. */
  readonly ownIssuer: string;
}

/** Identity and Access Management: service accounts, workload identity pools and their providers. */
export function createIamApi(world: World, options: IamOptions): Api {
  const operations = new LongRunningOperations();
  world.onSettle(() => operations.settle());
  world.policies.addMemberCheck((member) => refuseMember(world, options.pools, member));
  const begin = operationsOf(world, operations);
  const getOperation = (call: Call): unknown => {
    const name = call.params["name"] ?? "";
    const operation = operations.poll(name);
    if (operation === undefined) throw new GoogleError("NOT_FOUND", "Requested entity was not found.");
    return operation;
  };
  return {
    name: "iam",
    title: "Identity and Access Management (IAM) API",
    documents: ["iam.v1.json"],
    projectNeeds: { service: true, billing: false },
    handlers: {
      ...serviceAccountMethods(world, options),
      ...poolMethods(world, options.pools, begin),
      ...providerMethods(world, options.pools, begin, options.ownIssuer),
      "iam.projects.locations.workloadIdentityPools.operations.get": getOperation,
      "iam.projects.locations.workloadIdentityPools.providers.operations.get": getOperation,
    },
  };
}

/** Members of a policy must exist: accounts of this world's projects, and pools. */
function refuseMember(world: World, pools: IdentityPools, member: string): string | undefined {
  const email = /^serviceAccount:(.+)$/.exec(member)?.[1];
  const owner = /@([a-z0-9-]+)\.iam\.gserviceaccount\.com$/.exec(email ?? "")?.[1];
  if (email !== undefined && owner !== undefined && world.findProject(owner) !== undefined) {
    return world.serviceAccounts.has(email) ? undefined : `Service account ${email} does not exist.`;
  }
  const pool =
    /^principal(?:Set)?:\/\/iam\.googleapis\.com\/(projects\/[^/]+\/locations\/global\/workloadIdentityPools\/[^/]+)\//.exec(
      member,
    )?.[1];
  if (!member.startsWith("principal")) return undefined;
  if (pool !== undefined && pools.exists(pool) && poolName(pools.pool(pool)) === pool) return undefined;
  return (
    `Identity Pool does not exist (${pool ?? member}). Please check that you specified a valid resource name as ` +
    "returned in the `name` attribute in the configuration API."
  );
}
