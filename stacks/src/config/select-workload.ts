import type { Config } from "./schema.ts";

/** What a stack runs: an image, or a program of the project folder. */
export type SelectedWorkload =
  | { readonly image: string; readonly run?: undefined }
  | { readonly image?: undefined; readonly run: readonly string[] };

/**
 * Decided by the configuration alone, so that the lock does not depend on which engine answers on a machine. A program is
 * the quicker way to run the same workload while it is being written, so it wins unless an engine is named.
 */
export function selectWorkload({ workload, targets }: Config): SelectedWorkload {
  const { engine, run } = targets.local;
  if (workload.image !== undefined && imageWins(engine, run)) return { image: workload.image };
  return { run: run ?? [] };
}

/** Whether it is the image that runs where there is one; takes what is not checked yet, too. */
export function imageWins(engine: unknown, run: unknown): boolean {
  return engine === "docker" || engine === "podman" || run === undefined;
}
