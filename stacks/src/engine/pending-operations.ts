import { PolarisError } from "@polaris-cvm/sdk/errors";
import * as z from "zod";
import { nameOfUrn, typeOfUrn } from "./engine-event.ts";

/** A step that the engine began and never saw the end of: it was killed, or lost its network. */
export interface PendingOperation {
  readonly urn: string;
  readonly type: string;
  readonly name: string;
  /** What was being done: `creating`, `updating`, `deleting`, `reading`, `importing`. */
  readonly doing: string;
}

/** The part of an exported state that is read here. */
const deployment = z.object({
  pending_operations: z
    .array(z.object({ type: z.string(), resource: z.object({ urn: z.string() }) }))
    .nullish(),
});

/** @throws {PolarisError} STATE_CORRUPT if the state is not one */
export function listPendingOperations(exported: unknown): PendingOperation[] {
  return (parseDeployment(exported).pending_operations ?? []).map(({ type, resource: { urn } }) => ({
    urn,
    type: typeOfUrn(urn),
    name: nameOfUrn(urn),
    doing: type,
  }));
}

function parseDeployment(exported: unknown): z.output<typeof deployment> {
  const parsed = deployment.safeParse(exported);
  if (parsed.success) return parsed.data;
  throw new PolarisError("STATE_CORRUPT", "the state of the stack cannot be understood", {
    hint: "restore it from the backups beside it",
    cause: parsed.error,
  });
}
