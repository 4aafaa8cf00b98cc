/**
 * Runs a task once for everybody: callers at the same time share one run, a success is kept, a failure is told to those
 * who wait for it and forgotten, so that the next caller tries again.
 */
export function singleFlight<T>(task: () => Promise<T>): () => Promise<T> {
  let flight: Promise<T> | undefined;
  return () => {
    flight ??= task().catch((error: unknown) => {
      flight = undefined;
      throw error;
    });
    return flight;
  };
}

/** The value of a promise, or the signal's reason if that comes first; the work behind the promise goes on. */
export async function orAbort<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
