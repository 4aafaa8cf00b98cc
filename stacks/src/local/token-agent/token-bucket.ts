/** True if one more is allowed now. */
export type TakeToken = () => boolean;

/**
 * A token bucket: `burst` at once, then `ratePerSecond`.
 *
 * @param options.now milliseconds of a clock that never goes back
 */
export function createTokenBucket(options: {
  readonly ratePerSecond: number;
  readonly burst: number;
  readonly now: () => number;
}): TakeToken {
  let level = options.burst;
  let filledAtMs = options.now();
  return () => {
    const nowMs = options.now();
    level = Math.min(options.burst, level + ((nowMs - filledAtMs) / 1000) * options.ratePerSecond);
    filledAtMs = nowMs;
    if (level < 1) return false;
    level -= 1;
    return true;
  };
}
