import { randomUUID } from "node:crypto";
import type { LongRunningOperations } from "../operations.ts";
import type { World } from "../world.ts";

/** Begins an operation on a pool or a provider: its name stands below the resource's. */
export type BeginOperation = (resourceName: string, type: string, finish: () => unknown) => unknown;

/** @param type  of google.iam.v1, for example `WorkloadIdentityPool` */
export function operationsOf(world: World, operations: LongRunningOperations): BeginOperation {
  return (resourceName, type, finish) =>
    operations.begin({
      name: `${resourceName}/operations/${randomUUID().replaceAll("-", "")}`,
      pace: world.pace,
      now: world.now,
      finish: () => ({ "@type": `type.googleapis.com/google.iam.v1.${type}`, ...(finish() as object) }),
    });
}
