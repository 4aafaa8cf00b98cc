import type { EngineEvent as RawEvent } from "@pulumi/pulumi/automation/events.js";
import type { StopSignals } from "./engine-command.ts";
import { parseEngineEvent } from "./engine-event.ts";
import type { EngineEvent } from "./engine-event.ts";
import { engineFailure } from "./engine-failure.ts";
import type { FindHint } from "./engine-failure.ts";
import { openEngineLog } from "./engine-log.ts";
import type { EngineLog } from "./engine-log.ts";
import type { MaskText } from "./mask-secrets.ts";
import { NO_PROGRESS, reduceProgress } from "./progress.ts";
import type { Progress } from "./progress.ts";

/** What every command of the engine is given. */
export interface OperationHooks {
  readonly color: "never";
  readonly userAgent: string;
  readonly onEvent: (event: RawEvent) => void;
}

/**
 * Runs one command of the engine, and tells how it goes.
 *
 * @throws {PolarisError} the one error for whatever it failed with
 */
export type RunOperation = <T>(
  operation: string,
  command: (hooks: OperationHooks) => Promise<T>,
) => Promise<{ readonly result: T; readonly events: readonly EngineEvent[] }>;

export interface OperationContext {
  readonly stackName: string;
  readonly userAgent: string;
  readonly logPath: string;
  readonly mask: MaskText;
  readonly stop: StopSignals;
  readonly findHint: FindHint;
  readonly onProgress: (progress: Progress) => void;
  /** What our own program threw in this run, if it did. */
  readonly takeProgramError: () => unknown;
}

/** The log of the operation that runs, if one does: what the engine's program prints goes there. */
export interface LogSlot {
  current: EngineLog | undefined;
}

/** Only these print what may be kept: the others answer with the state and its secrets. */
const LOGGED: ReadonlySet<string> = new Set(["preview", "up", "refresh", "destroy"]);

export function createRunOperation(context: OperationContext, slot: LogSlot): RunOperation {
  return async (operation, command) => {
    const { stop, mask, onProgress } = context;
    const events: EngineEvent[] = [];
    let progress = NO_PROGRESS;
    const hooks: OperationHooks = {
      color: "never",
      userAgent: context.userAgent,
      onEvent(raw) {
        const event = parseEngineEvent(raw);
        if (event === undefined) return;
        // Debug messages of the API hold secrets in the clear: nothing but what is shown is kept.
        if (event.diagnosticEvent === undefined) events.push(event);
        const next = reduceProgress(progress, { atMs: Date.now(), event });
        if (next === progress) return;
        progress = next;
        onProgress(progress);
      },
    };
    const isLogged = LOGGED.has(operation);
    if (isLogged) slot.current = await openEngineLog(context.logPath, mask);
    context.takeProgramError();
    try {
      return { result: await command(hooks), events };
    } catch (error) {
      throw engineFailure({
        operation,
        stack: context.stackName,
        error,
        programError: context.takeProgramError(),
        progress,
        stop,
        logPath: isLogged ? context.logPath : undefined,
        mask,
        findHint: context.findHint,
      });
    } finally {
      slot.current?.close();
      slot.current = undefined;
    }
  };
}
