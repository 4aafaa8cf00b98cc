import { PolarisError } from "@polaris-cvm/sdk/errors";

/** Private operations at one moment. */
export interface OperationCounts {
  readonly running: number;
  readonly waiting: number;
}

/** A bounded queue before a few lanes, each of which takes one operation at a time. */
export interface OperationQueue<Lane> {
  /**
   * Runs an operation in a lane of its own, first come first served. An operation that has begun is not broken off.
   *
   * Rejects as `operation` does, or with OVERLOADED without having begun: because too many wait already, or because
   * `signal` aborted before its turn came.
   */
  run<Value>(operation: (lane: Lane) => Promise<Value>, signal: AbortSignal): Promise<Value>;
  counts(): OperationCounts;
}

/** @param maxWaiting  how many may wait while all lanes are taken */
export function createOperationQueue<Lane>(lanes: readonly Lane[], maxWaiting: number): OperationQueue<Lane> {
  const free: Lane[] = [...lanes];
  /** In the order in which they came. */
  const waiting = new Set<(lane: Lane) => void>();

  async function take(signal: AbortSignal): Promise<Lane> {
    if (free.length > 0) return free.pop() as Lane;
    if (waiting.size >= maxWaiting) throw overloaded(`${maxWaiting} private operations wait already`);
    const { promise, resolve, reject } = Promise.withResolvers<Lane>();
    const giveUp = (): void => {
      waiting.delete(resolve);
      reject(outOfTime());
    };
    waiting.add(resolve);
    signal.addEventListener("abort", giveUp, { once: true });
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", giveUp);
    }
  }

  function giveBack(lane: Lane): void {
    const [next] = waiting;
    if (next === undefined) {
      free.push(lane);
    } else {
      waiting.delete(next);
      next(lane);
    }
  }

  return {
    async run(operation, signal) {
      if (signal.aborted) throw outOfTime();
      const lane = await take(signal);
      try {
        // The lane may have come in the same moment as the end of the waiting.
        if (signal.aborted) throw outOfTime();
        return await operation(lane);
      } finally {
        giveBack(lane);
      }
    },
    counts: () => ({ running: lanes.length - free.length, waiting: waiting.size }),
  };
}

function outOfTime(): PolarisError {
  return overloaded("the turn of a private operation did not come in time");
}

function overloaded(message: string): PolarisError {
  return new PolarisError("OVERLOADED", message);
}
