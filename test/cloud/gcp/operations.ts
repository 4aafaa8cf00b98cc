import { GoogleError, type GoogleStatus } from "./google-error.ts";

/** When work that a request began is finished: at the nth look at it, or when the time is over. */
export interface Pace {
  /** 1: the first look finds it finished. 0: it is finished before the first answer. */
  readonly polls: number;
  readonly maxMs: number;
}

/** Work that goes on after the answer. Its effect happens once, at the look or the time that finishes it. */
export class Pending {
  readonly #finishesAtMs: number;
  readonly #now: () => number;
  readonly #finish: () => void;
  #pollsLeft: number;
  #isDone = false;

  constructor(pace: Pace, now: () => number, finish: () => void) {
    this.#pollsLeft = pace.polls;
    this.#finishesAtMs = now() + pace.maxMs;
    this.#now = now;
    this.#finish = finish;
    if (pace.polls === 0) this.#complete();
  }

  get isDone(): boolean {
    this.settle();
    return this.#isDone;
  }

  /** A look by a client. */
  poll(): boolean {
    this.#pollsLeft -= 1;
    if (this.#pollsLeft <= 0) this.#complete();
    return this.isDone;
  }

  /** Finishes the work if its time is over. */
  settle(): void {
    if (this.#now() >= this.#finishesAtMs) this.#complete();
  }

  #complete(): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#finish();
  }
}

type Outcome =
  | { readonly response: unknown }
  | { readonly error: { readonly code: number; readonly message: string; readonly details?: unknown } };

interface LongRunning {
  readonly name: string;
  readonly pending: Pending;
  readonly metadata: Readonly<Record<string, unknown>> | undefined;
  readonly outcome: () => Outcome | undefined;
}

/** google.rpc.Code numbers of the errors that an operation ends with. */
const CODE_NUMBERS: Partial<Record<GoogleStatus, number>> = {
  INVALID_ARGUMENT: 3,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  INTERNAL: 13,
  UNAVAILABLE: 14,
};

/** google.longrunning.Operation by name, as the APIs other than compute answer it. One per API. */
export class LongRunningOperations {
  readonly #byName = new Map<string, LongRunning>();

  /**
   * Begins one, and gives its first JSON. `finish` does the work when it is time, and gives the `response` with its
   * `@type`; a `GoogleError` that it throws becomes the operation's error.
   */
  begin(options: {
    readonly name: string;
    readonly pace: Pace;
    readonly now: () => number;
    readonly metadata?: Readonly<Record<string, unknown>>;
    readonly finish: () => unknown;
  }): unknown {
    let outcome: Outcome | undefined;
    const pending = new Pending(options.pace, options.now, () => {
      outcome = runToOutcome(options.finish);
    });
    const operation = { name: options.name, pending, metadata: options.metadata, outcome: () => outcome };
    this.#byName.set(options.name, operation);
    return toJson(operation);
  }

  /** What a poll answers; undefined for a name that is not known. */
  poll(name: string): unknown {
    const operation = this.#byName.get(name);
    operation?.pending.poll();
    return operation === undefined ? undefined : toJson(operation);
  }

  /** Finishes what nobody looked at in time. */
  settle(): void {
    for (const { pending } of this.#byName.values()) pending.settle();
  }
}

function runToOutcome(finish: () => unknown): Outcome {
  try {
    return { response: finish() };
  } catch (error) {
    if (!(error instanceof GoogleError)) throw error;
    return {
      error: {
        code: CODE_NUMBERS[error.status] ?? 2,
        message: error.message,
        ...(error.details === undefined ? {} : { details: error.details }),
      },
    };
  }
}

function toJson({ name, pending, metadata, outcome }: LongRunning): unknown {
  const done = pending.isDone;
  return { name, ...(metadata === undefined ? {} : { metadata }), done, ...outcome() };
}
