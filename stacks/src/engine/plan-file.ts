import { readFile, stat } from "node:fs/promises";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import * as z from "zod";
import { errnoOf, writeFileAtomic } from "../atomic-file.ts";
import { nameOfUrn, typeOfUrn } from "./engine-event.ts";
import type { PlannedChange } from "./planned-changes.ts";

/** A plan as the engine saves it: what it may do with each resource, by URN. */
const planFile = z.object({
  resourcePlans: z.record(z.string(), z.object({ steps: z.array(z.string()).nullish() })).nullish(),
});

const MAX_PLAN_BYTES = 64 * 1024 * 1024;

/** An empty file for a plan, for its owner alone: the engine writes into what is there. */
export async function preparePlanFile(path: string): Promise<void> {
  await writeFileAtomic(path, "", { mode: 0o600, durable: false });
}

/**
 * The deletes and replacements that a saved plan allows: the engine does nothing that goes beyond it.
 *
 * @throws {PolarisError} USAGE_INVALID if there is no such file, or it is no plan
 */
export async function readPlannedLosses(
  path: string,
): Promise<Pick<PlannedChange, "urn" | "type" | "name" | "action">[]> {
  const plan = planFile.safeParse(await readJson(path)).data;
  if (plan === undefined) throw noPlan(path, "is not a saved plan");
  return Object.entries(plan.resourcePlans ?? {}).flatMap(([urn, { steps }]) => {
    const action = lossOf(new Set(steps));
    return action === undefined ? [] : [{ urn, type: typeOfUrn(urn), name: nameOfUrn(urn), action }];
  });
}

function lossOf(steps: ReadonlySet<string>): "replace" | "delete" | undefined {
  if (
    ["replace", "create-replacement", "delete-replaced", "import-replacement"].some((op) => steps.has(op))
  ) {
    return "replace";
  }
  return steps.has("delete") ? "delete" : undefined;
}

async function readJson(path: string): Promise<unknown> {
  try {
    if ((await stat(path)).size > MAX_PLAN_BYTES) throw noPlan(path, "is too large for a plan");
    return JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    if (cause instanceof SyntaxError) throw noPlan(path, "is not a saved plan", cause);
    const errno = errnoOf(cause);
    if (errno === undefined) throw cause;
    throw noPlan(path, `cannot be read (${errno})`, cause);
  }
}

function noPlan(path: string, problem: string, cause?: unknown): PolarisError {
  return new PolarisError("USAGE_INVALID", `the plan ${path} ${problem}`, {
    hint: "save one with: polaris preview --save-plan FILE",
    ...(cause !== undefined && { cause }),
  });
}
