import type { ProgressEvent } from "@polaris-cvm/stacks/target.ts";
import { formatElapsed } from "./print.ts";
import type { CommandContext } from "./run-command.ts";

export interface Progress {
  readonly onPart: (event: ProgressEvent) => void;
  phase(text: string): void;
  done(): void;
}

/** One line for each thing that happens, with the time since the command began: honest in a terminal and in a CI log. */
export function startProgress(context: CommandContext): Progress {
  const startedAtMs = performance.now();
  const elapsed = (): string => `[${formatElapsed(performance.now() - startedAtMs).padStart(5)}]`;
  return {
    onPart: (event) => {
      context.event("part", { part: event.part, phase: event.phase, elapsedMs: Math.round(event.elapsedMs) });
      context.note(`${elapsed()} ${event.part.padEnd(12)} ${event.phase}`);
    },
    phase: (text) => {
      context.event("phase", { text });
      context.note(`${elapsed()} ${text}`);
    },
    done: () => {
      context.event("phase", { text: "done" });
    },
  };
}
