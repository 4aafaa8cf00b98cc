/** Exit codes of part-runner.ts: what the command that started it learns if there is no record of it. */
export const RUNNER_EXIT = {
  /** The part ran and has ended; the record tells how. */
  ended: 0,
  /** The spec does not name this launch any more. Nothing was started. */
  notWanted: 3,
  /** Another runner has registered for the part. Nothing was started. */
  alreadyRegistered: 4,
  /** The part's log cannot be written. Nothing was started. */
  unwritable: 5,
} as const;
