import type { PartSpec } from "./part-spec.ts";
import { askProbes } from "./probe.ts";

/** Asks parts, in the background and each on its own, whether they are ready. Launches are told apart by their id. */
export class Readiness {
  readonly #answers = new Map<string, "yes" | "never">();
  readonly #asking = new Set<string>();
  readonly #stop = new AbortController();
  #wake = Promise.withResolvers<void>();

  of(launchId: string): "yes" | "never" | undefined {
    return this.#answers.get(launchId);
  }

  /** Asks once; nothing happens while a question to it is open, or after its final answer. */
  ask(launchId: string, spec: PartSpec): void {
    if (this.#asking.has(launchId) || this.#answers.has(launchId)) return;
    this.#asking.add(launchId);
    void askProbes(spec.probes, this.#stop.signal).then(
      (isReady) => this.#note(launchId, isReady),
      () => this.#note(launchId, false),
    );
  }

  /** From now on its answer is `never`. */
  giveUp(launchId: string): void {
    this.#answers.set(launchId, "never");
  }

  /** Resolves as soon as any part says that it is ready. */
  nextReady(): Promise<void> {
    return this.#wake.promise;
  }

  /** Closes the open questions. */
  stop(): void {
    this.#stop.abort();
  }

  #note(launchId: string, isReady: boolean): void {
    this.#asking.delete(launchId);
    if (!isReady || this.#answers.has(launchId)) return;
    this.#answers.set(launchId, "yes");
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }
}
