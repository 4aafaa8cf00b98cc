import { PolarisError } from "@polaris-cvm/sdk/errors";
import * as z from "zod";

/** What the engine gives is a file's content: bounded, and never taken on trust. */
const resourceName = z.string().min(1).max(1024);

const baseOutputs = z.strictObject({
  /** "projects/P/global/networks/N" */
  network: resourceName,
  /** "projects/P/regions/R/subnetworks/S" */
  subnetwork: resourceName,
  serviceAccountEmail: z.string().min(3).max(320).includes("@"),
  /** "projects/P/locations/L/repositories/R" */
  repository: resourceName,
});

const keyOutputs = z.strictObject({
  /** "projects/P/locations/L/keyRings/R" */
  keyRing: resourceName,
  /** "projects/P/locations/L/keyRings/R/cryptoKeys/K" */
  key: resourceName,
  /** "projects/N/locations/global/workloadIdentityPools/POOL", with the project's number */
  pool: resourceName,
  /** "…/workloadIdentityPools/POOL/providers/PROVIDER" */
  provider: resourceName,
  /** Principals with the grant to decrypt: one, or none as long as no machine is known. */
  decrypters: z.array(resourceName).max(1),
});

const appOutputs = z.strictObject({
  /** "projects/P/zones/Z/instances/NAME" */
  instance: resourceName,
  /** Google's number of this one machine, which a replacement does not keep; too big for a JavaScript number. */
  instanceId: z.string().regex(/^[1-9][0-9]{0,19}$/),
  internalAddress: z.ipv4(),
  /** Absent where the machine has no address of its own. */
  externalAddress: z.ipv4().exactOptional(),
});

export type BaseOutputs = Readonly<z.infer<typeof baseOutputs>>;
export type KeyOutputs = Readonly<z.infer<typeof keyOutputs>>;
export type AppOutputs = Readonly<z.infer<typeof appOutputs>>;

/** @throws {PolarisError} STATE_CORRUPT if the state of the part has other outputs */
export function parseBaseOutputs(outputs: unknown): BaseOutputs {
  return parse("base", baseOutputs, outputs);
}

/** @throws {PolarisError} STATE_CORRUPT if the state of the part has other outputs */
export function parseKeyOutputs(outputs: unknown): KeyOutputs {
  return parse("key", keyOutputs, outputs);
}

/** @throws {PolarisError} STATE_CORRUPT if the state of the part has other outputs */
export function parseAppOutputs(outputs: unknown): AppOutputs {
  return parse("app", appOutputs, outputs);
}

function parse<Outputs>(part: string, schema: z.ZodType<Outputs>, outputs: unknown): Outputs {
  const result = schema.safeParse(outputs);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const where = issue === undefined || issue.path.length === 0 ? "" : ` "${issue.path.join(".")}"`;
  throw new PolarisError(
    "STATE_CORRUPT",
    `the outputs${where} of part ${part} are not what its program gives`,
    { hint: "an interrupted deploy leaves outputs out: run polaris deploy again", cause: result.error },
  );
}
