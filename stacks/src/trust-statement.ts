/**
 * What a target proves and what it does not, as data: `verify`, the final lines of `deploy`, the docs and later the
 * audit print the same list, so that no text promises more than another.
 */
export interface TrustStatement {
  /** Stable name: `trust.accept` in polaris.yaml refers to it. */
  readonly id: string;
  /** True: proven or enforced on this target. False: a residual, somebody can get around it. */
  readonly holds: boolean;
  /** The statement, or who can get around it and how. */
  readonly why: string;
}
