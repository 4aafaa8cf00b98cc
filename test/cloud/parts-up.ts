/** `up` of each part, with its outputs as the next part takes them. */
import type { PlannedChange } from "@polaris-cvm/stacks/engine/planned-changes.ts";
import type { Part, UpOptions } from "@polaris-cvm/stacks/engine/part.ts";
import type { PartOutputs } from "@polaris-cvm/stacks/engine/part-values.ts";
import type { AppPartInputs } from "@polaris-cvm/stacks/gcp/programs/part-inputs.ts";
import {
  type AppOutputs,
  type BaseOutputs,
  type KeyOutputs,
  parseAppOutputs,
  parseBaseOutputs,
  parseKeyOutputs,
} from "@polaris-cvm/stacks/gcp/programs/part-outputs.ts";
import type { StackCloud } from "./parts-fixture.ts";
import type { AppBasis } from "./parts-inputs.ts";

/** Of nobody who would lose a key. */
export const NO_KEY_CHANGES: UpOptions = { mayChangeKeys: false };

export interface Made<Outputs> {
  readonly outputs: Outputs;
  readonly changes: readonly PlannedChange[];
}

export async function upBase(cloud: StackCloud): Promise<Made<BaseOutputs>> {
  return up(await cloud.openBase(), parseBaseOutputs);
}

export async function upKey(cloud: StackCloud, decrypter: string | undefined): Promise<Made<KeyOutputs>> {
  return up(await cloud.openKey(decrypter), parseKeyOutputs);
}

export async function upApp(
  cloud: StackCloud,
  basis: AppBasis,
  inputs: Partial<AppPartInputs> = {},
): Promise<Made<AppOutputs>> {
  return up(await cloud.openApp(basis, inputs), parseAppOutputs);
}

async function up<Outputs>(part: Part, parse: (outputs: unknown) => Outputs): Promise<Made<Outputs>> {
  const { outputs, changes } = await part.up(NO_KEY_CHANGES);
  return { outputs: parse(valuesOf(outputs)), changes };
}

/** The values of outputs, as those who parse them want them. */
export function valuesOf(outputs: PartOutputs): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(outputs).map(([name, { value }]) => [name, value]));
}
