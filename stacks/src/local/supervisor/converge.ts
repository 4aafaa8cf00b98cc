import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { PolarisError, isPolarisError } from "@polaris-cvm/sdk/errors";
import { writerOfTemporaryFile } from "../../atomic-file.ts";
import { endPart, endStrays } from "./end-part.ts";
import { nextStep } from "./next-step.ts";
import type { JudgedPart, Step } from "./next-step.ts";
import { canonicalStackDir, observe } from "./observe.ts";
import type { ObservedPart } from "./observe.ts";
import { describePartExit, describePartUnready } from "./part-failure.ts";
import type { PartName, PartSpec } from "./part-spec.ts";
import { readIdentity } from "./process-identity.ts";
import { Readiness } from "./readiness.ts";
import { describeRunnerFailure, startPart } from "./start-part.ts";
import type { StartedRunner } from "./start-part.ts";

export interface PartEvent {
  readonly part: PartName;
  /** `ready` also comes, once, for a part that was already running as planned. */
  readonly phase: "starting" | "ready" | "stopping" | "stopped" | "failed";
  /** Since its last `starting` or `stopping`, else since the beginning, in milliseconds. */
  readonly elapsedMs: number;
}

export interface ConvergeOptions {
  readonly stackDir: string;
  /** All parts that the stack is to have, or `"absent"`: none. */
  readonly desired: readonly PartSpec[] | "absent";
  /** Values of the secrets that the specs name; they go to those processes and nowhere else. */
  readonly secretEnv?: Readonly<Record<string, string>>;
  readonly onEvent?: (event: PartEvent) => void;
  /** Ends the waiting; the parts stay as they are then, and the next call goes on from there. */
  readonly signal?: AbortSignal;
}

/** How long to wait before looking again, in milliseconds. */
const POLL_MS = 25;

/** How long a part that was found running may take to answer, however old it is, in milliseconds. */
const FOUND_PATIENCE_MS = 3_000;

/**
 * Makes the processes of a stack what they should be, whatever they are now: starts, replaces, mends, stops. Resolves when
 * all that is desired is ready and nothing else is there. For a command that holds the stack lock; a process killed in the
 * middle of it leaves what the next call handles.
 *
 * @throws {PolarisError} WORKLOAD_EXITED, or PART_FAILED for another part, as soon as a part that was started ends;
 *   `details` has part, exitCode, signal and lastLines (at most 20)
 * @throws {PolarisError} WORKLOAD_UNHEALTHY, PROXY_UNHEALTHY or TIMEOUT if a part is not ready in its time
 * @throws {PolarisError} CANCELLED after the signal, STATE_UNWRITABLE, SECRET_MISSING
 * @returns what is there at the end
 */
export async function converge(options: ConvergeOptions): Promise<ObservedPart[]> {
  const stackDir = await canonicalStackDir(options.stackDir);
  const convergence = new Convergence({ ...options, stackDir });
  try {
    return await convergence.run();
  } catch (error) {
    if (options.signal?.aborted === true && !isPolarisError(error)) {
      throw new PolarisError("CANCELLED", "cancelled while the stack was changed", {
        hint: "its state is consistent: run the command again to go on, or destroy the stack",
        cause: error,
      });
    }
    throw error;
  } finally {
    convergence.stopAsking();
  }
}

class Convergence {
  readonly #options: ConvergeOptions;
  readonly #readiness = new Readiness();
  /** Parts that this call has started. One that does not stay up is a failure, not something to try again. */
  readonly #started = new Map<PartName, StartedRunner>();
  /** Until when a part has to be ready. */
  readonly #deadlineMs = new Map<PartName, number>();
  readonly #announced = new Set<string>();
  readonly #sinceMs = new Map<PartName, number>();
  readonly #beganMs = performance.now();

  constructor(options: ConvergeOptions) {
    this.#options = options;
  }

  async run(): Promise<ObservedPart[]> {
    const { stackDir, desired, signal } = this.#options;
    signal?.throwIfAborted();
    await removeLeftFiles(stackDir);
    await endStrays(stackDir, signal);
    for (;;) {
      signal?.throwIfAborted();
      const parts = (await observe(stackDir)).map((part) => this.#judge(part));
      for (const part of parts) this.#announce(part);
      const step = nextStep(desired, parts);
      if (step.kind === "done") return parts;
      await this.#act(step, parts);
    }
  }

  stopAsking(): void {
    this.#readiness.stop();
  }

  async #act(step: Exclude<Step, { kind: "done" }>, parts: readonly JudgedPart[]): Promise<void> {
    if (step.kind === "await-ready") return this.#awaitReady(step.parts.map((name) => find(parts, name)));
    const before = this.#started.get(step.part);
    if (before !== undefined) throw await this.#describeFailure(find(parts, step.part), before);
    return step.kind === "stop" ? this.#stop(step.part) : this.#start(step.part);
  }

  async #stop(part: PartName): Promise<void> {
    this.#emit(part, "stopping");
    await endPart(this.#options.stackDir, part, this.#options.signal);
    this.#emit(part, "stopped");
  }

  async #start(part: PartName): Promise<void> {
    const { stackDir, secretEnv = {}, signal } = this.#options;
    const spec = this.#specOf(part);
    this.#emit(part, "starting");
    this.#started.set(part, await startPart(stackDir, spec, secretEnv, signal));
    this.#deadlineMs.set(part, performance.now() + spec.readyTimeoutMs);
  }

  async #describeFailure(part: JudgedPart, runner: StartedRunner): Promise<PolarisError> {
    this.#emit(part.part, "failed");
    const end = runner.end();
    const hasRecordedEnd = part.state === "exited" && part.record.launchId === runner.launchId;
    return hasRecordedEnd || end === undefined
      ? describePartExit(this.#options.stackDir, part)
      : describeRunnerFailure(this.#options.stackDir, part.part, end);
  }

  async #awaitReady(parts: readonly JudgedPart[]): Promise<void> {
    const { stackDir, signal } = this.#options;
    for (const part of parts) {
      const spec = this.#specOf(part.part);
      if (part.state === "running") this.#readiness.ask(part.record.launchId, spec);
      if (performance.now() < this.#deadline(part, spec)) continue;
      if (!this.#started.has(spec.name) && "record" in part) {
        // It was there before and has had its time: it hangs, and is worth one start.
        this.#readiness.giveUp(part.record.launchId);
        return;
      }
      this.#emit(spec.name, "failed");
      throw await describePartUnready(stackDir, part, spec.readyTimeoutMs);
    }
    await Promise.race([this.#readiness.nextReady(), sleep(POLL_MS, undefined, { signal })]);
  }

  #deadline(part: JudgedPart, spec: PartSpec): number {
    const known = this.#deadlineMs.get(spec.name);
    if (known !== undefined) return known;
    const ageMs = "record" in part ? Date.now() - Date.parse(part.record.startedAt) : 0;
    const deadlineMs =
      performance.now() + Math.max(FOUND_PATIENCE_MS, spec.readyTimeoutMs - Math.max(0, ageMs || 0));
    this.#deadlineMs.set(spec.name, deadlineMs);
    return deadlineMs;
  }

  /** Adds what this call knows and the files do not show. */
  #judge(part: ObservedPart): JudgedPart {
    if (part.state === "launched") {
      const runner = this.#started.get(part.part);
      const isComing = runner?.launchId === part.launch.launchId && runner.end() === undefined;
      return { ...part, isComing };
    }
    if (part.state !== "running" && part.state !== "starting") return part;
    const answers = this.#readiness.of(part.record.launchId);
    return answers === undefined ? part : { ...part, answers };
  }

  #announce(part: JudgedPart): void {
    if (part.state !== "running" || part.answers !== "yes" || this.#announced.has(part.record.launchId))
      return;
    this.#announced.add(part.record.launchId);
    this.#emit(part.part, "ready");
  }

  #emit(part: PartName, phase: PartEvent["phase"]): void {
    const nowMs = performance.now();
    if (phase === "starting" || phase === "stopping") this.#sinceMs.set(part, nowMs);
    const elapsedMs = Math.round(nowMs - (this.#sinceMs.get(part) ?? this.#beganMs));
    this.#options.onEvent?.({ part, phase, elapsedMs });
  }

  #specOf(part: PartName): PartSpec {
    const { desired } = this.#options;
    const spec = desired === "absent" ? undefined : desired.find(({ name }) => name === part);
    if (spec === undefined) throw new PolarisError("INTERNAL", `${part} is to start without a specification`);
    return spec;
  }
}

function find(parts: readonly JudgedPart[], name: PartName): JudgedPart {
  return parts.find(({ part }) => part === name) ?? { part: name, state: "absent" };
}

/** Removes what killed processes of ours have half written; no reader ever looks at it. */
async function removeLeftFiles(stackDir: string): Promise<void> {
  const folder = join(stackDir, "run");
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    const writer = writerOfTemporaryFile(name);
    if (writer !== undefined && readIdentity(writer) === undefined)
      await rm(join(folder, name), { force: true });
  }
}
