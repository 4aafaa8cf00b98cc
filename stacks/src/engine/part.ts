import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Stack } from "@pulumi/pulumi/automation/stack.js";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { Backend } from "./backend.ts";
import { refuseKeyChanges } from "./key-changes.ts";
import { outputsOf, previewOutputs } from "./part-values.ts";
import type { PreviewOutputs, PartOutputs } from "./part-values.ts";
import { listPendingOperations } from "./pending-operations.ts";
import type { PendingOperation } from "./pending-operations.ts";
import { preparePlanFile, readPlannedLosses } from "./plan-file.ts";
import { listChanges } from "./planned-changes.ts";
import type { PlannedChange } from "./planned-changes.ts";
import type { RunOperation } from "./run-operation.ts";
import { readFolderLocks, stackLocked } from "./stack-locks.ts";
import type { EngineLock } from "./stack-locks.ts";

export interface Preview {
  readonly changes: readonly PlannedChange[];
  readonly outputs: PreviewOutputs;
}

export interface PreviewOptions {
  /** Where to save what is planned, for `up`. */
  readonly planFile?: string;
  /** Any change is UNEXPECTED_CHANGES. */
  readonly expectNoChanges?: boolean;
}

export interface KeyPermission {
  /** The user has agreed to lose keys, with the flag for it. */
  readonly mayChangeKeys: boolean;
}

export interface UpOptions extends KeyPermission {
  /** A saved plan, and nothing beyond it; without one, what a preview plans now. */
  readonly planFile?: string;
}

export interface RefreshOptions {
  /** Forgets steps that were begun and never ended, after a look at what the cloud has. */
  readonly clearPendingCreates: boolean;
}

export interface DestroyOptions extends KeyPermission {
  /** Leaves what is protected, such as keys, where it is, and in the state. */
  readonly keepProtected: boolean;
  /** Also removes the empty stack from the state. */
  readonly remove: boolean;
  /** Runs the program for the settings of its providers; otherwise those of the last `up` serve. */
  readonly runProgram: boolean;
}

/**
 * One part of a stack in a cloud: a program, and its state. One operation at a time. Every operation rejects with one
 * PolarisError: CLOUD_RESOURCE_FAILED, STACK_LOCKED, CANCELLED, UNEXPECTED_CHANGES, PLUGIN_UNAVAILABLE, STATE_CORRUPT,
 * CLOUD_CREDENTIALS_MISSING, ENGINE_FAILED, or what the program itself threw.
 */
export interface Part {
  /** What `up` would do. Nothing is changed. */
  preview(options?: PreviewOptions): Promise<Preview>;
  /** @throws {PolarisError} KEY_CHANGE_REFUSED before anything is changed */
  up(
    options: UpOptions,
  ): Promise<{ readonly outputs: PartOutputs; readonly changes: readonly PlannedChange[] }>;
  /** Reads from the cloud what is there, into the state. */
  refresh(options: RefreshOptions): Promise<readonly PlannedChange[]>;
  /** @throws {PolarisError} KEY_CHANGE_REFUSED before anything is changed */
  destroy(options: DestroyOptions): Promise<readonly PlannedChange[]>;
  /** Those of the last `up`; none if there was none. */
  outputs(): Promise<PartOutputs>;
  /** Steps that the engine began and never saw the end of. */
  pendingOperations(): Promise<readonly PendingOperation[]>;
  /** Who changes the part; undefined where the state cannot be asked (a bucket): the next `up` says it. */
  findLocks(): Promise<readonly EngineLock[] | undefined>;
  /**
   * Takes the lock away (`polaris unlock`).
   *
   * @param options.force  also that of a process that lives, or of which nothing is known
   * @returns whose lock it was, as far as is known
   * @throws {PolarisError} STACK_LOCKED if the holder may live and `force` is not set
   */
  cancelLock(options: { readonly force: boolean }): Promise<readonly EngineLock[]>;
}

export interface PartContext {
  readonly project: string;
  readonly stackName: string;
  readonly stack: Stack;
  readonly backend: Backend;
  readonly workDir: string;
  readonly keyTypes: ReadonlySet<string>;
  readonly run: RunOperation;
}

export function createPart(context: PartContext): Part {
  const { stack, run, keyTypes } = context;

  const preview = async ({ planFile, expectNoChanges = false }: PreviewOptions): Promise<Preview> => {
    if (planFile !== undefined) await preparePlanFile(planFile);
    const { events } = await run("preview", (hooks) =>
      stack.preview({ ...hooks, expectNoChanges, ...(planFile !== undefined && { plan: planFile }) }),
    );
    return { changes: listChanges(events), outputs: previewOutputs(events) };
  };

  const upAsPlanned = async (planFile: string): ReturnType<Part["up"]> => {
    const { result, events } = await run("up", (hooks) => stack.up({ ...hooks, plan: planFile }));
    return { outputs: outputsOf(result.outputs), changes: listChanges(events) };
  };

  const findLocks = async (): Promise<EngineLock[] | undefined> => {
    const { backend, project, stackName } = context;
    return backend.kind === "file" ? readFolderLocks(backend.folder, project, stackName) : undefined;
  };

  return {
    preview: (options = {}) => preview(options),
    async up({ planFile, mayChangeKeys }) {
      const guard = { types: keyTypes, mayChange: mayChangeKeys };
      if (planFile !== undefined) {
        refuseKeyChanges(await readPlannedLosses(planFile), guard);
        return upAsPlanned(planFile);
      }
      const ownPlan = join(context.workDir, "plan.json");
      try {
        refuseKeyChanges((await preview({ planFile: ownPlan })).changes, guard);
        return await upAsPlanned(ownPlan);
      } finally {
        await rm(ownPlan, { force: true });
      }
    },
    async refresh({ clearPendingCreates }) {
      const { events } = await run("refresh", (hooks) => stack.refresh({ ...hooks, clearPendingCreates }));
      return listChanges(events);
    },
    async destroy({ mayChangeKeys, keepProtected, remove, runProgram }) {
      const what = { excludeProtected: keepProtected, runProgram };
      if (!mayChangeKeys) {
        const planned = await run("destroy", (hooks) => stack.previewDestroy({ ...hooks, ...what }));
        refuseKeyChanges(listChanges(planned.events), { types: keyTypes, mayChange: false });
      }
      const { events } = await run("destroy", (hooks) => stack.destroy({ ...hooks, ...what, remove }));
      return listChanges(events);
    },
    async outputs() {
      return outputsOf((await run("outputs", () => stack.outputs())).result);
    },
    async pendingOperations() {
      const { result } = await run("export", () => stack.exportStack());
      return listPendingOperations(result.deployment);
    },
    findLocks,
    async cancelLock({ force }) {
      const locks = await findLocks();
      if (locks?.length === 0) return [];
      if (!force && locks?.every(({ isOrphaned }) => isOrphaned) !== true) {
        throw locks === undefined ? unknownHolder(context.stackName) : stackLocked(context.stackName, locks);
      }
      await run("unlock", () => stack.cancel());
      return locks ?? [];
    },
  };
}

function unknownHolder(stackName: string): PolarisError {
  return new PolarisError(
    "STACK_LOCKED",
    `nothing here says who has locked stack ${stackName}, if anybody has`,
    {
      hint: "if nothing works on it any more, run: polaris unlock --force",
    },
  );
}
