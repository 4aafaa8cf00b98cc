import { findInputFaults } from "../../../../../test/cloud/gcp-provider/check-inputs.ts";
import { findConfigFaults } from "../../../../../test/cloud/gcp-provider/provider-config.ts";
import {
  findResourceSchema,
  SCHEMA_MISSING,
} from "../../../../../test/cloud/gcp-provider/provider-schema.ts";
import type { RecordedProgram, RecordedResource } from "./record-program.ts";

/** For a test's `skip`: the reason, or false. */
export const NO_SCHEMA = SCHEMA_MISSING;

/** What the real provider's own schema has against a program's inputs: unknown names, wrong types, missing ones. */
export function findFaults({ resources }: RecordedProgram): readonly string[] {
  return resources
    .filter(({ isCustom }) => isCustom)
    .flatMap((resource) => faultsOf(resource).map((fault) => `${resource.name}: ${fault}`));
}

function faultsOf({ type, inputs }: RecordedResource): readonly string[] {
  if (type === "pulumi:providers:gcp") return findConfigFaults(inputs);
  const schema = findResourceSchema(type);
  if (schema === undefined) return [`the provider has no ${type}`];
  return findInputFaults(schema, inputs).map(({ path, reason }) => `${path}: ${reason}`);
}
