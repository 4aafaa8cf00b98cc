import type { ResourceType } from "../resource-type.ts";
import { ADDRESS } from "./address.ts";
import { REPOSITORY } from "./artifact-registry.ts";
import { FIREWALL } from "./firewall.ts";
import { IAM_MEMBERS } from "./iam-members.ts";
import { INSTANCE } from "./instance.ts";
import { CRYPTO_KEY, KEY_RING } from "./kms.ts";
import { NETWORK } from "./network.ts";
import { PROJECT_SERVICE } from "./project-service.ts";
import { ROUTER, ROUTER_NAT } from "./router.ts";
import { SECRET, SECRET_VERSION } from "./secret-manager.ts";
import { SERVICE_ACCOUNT } from "./service-account.ts";
import { SUBNETWORK } from "./subnetwork.ts";
import { WORKLOAD_IDENTITY_POOL, WORKLOAD_IDENTITY_POOL_PROVIDER } from "./workload-identity.ts";

/** Every resource type that the provider knows. */
export const ALL_TYPES: readonly ResourceType[] = [
  PROJECT_SERVICE,
  REPOSITORY,
  SERVICE_ACCOUNT,
  KEY_RING,
  CRYPTO_KEY,
  WORKLOAD_IDENTITY_POOL,
  WORKLOAD_IDENTITY_POOL_PROVIDER,
  NETWORK,
  SUBNETWORK,
  FIREWALL,
  ADDRESS,
  ROUTER,
  ROUTER_NAT,
  INSTANCE,
  SECRET,
  SECRET_VERSION,
  ...IAM_MEMBERS,
];

/**
 * @throws {Error} for a type that the provider does not know
 */
export function findType(token: string): ResourceType {
  const type = ALL_TYPES.find((known) => known.token === token);
  if (type === undefined) throw new Error(`the test provider has no resource type ${token}`);
  return type;
}
