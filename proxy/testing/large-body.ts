import type { Duplex } from "node:stream";

const PIECE = Buffer.alloc(64 * 1024, "x");

/** A body that is written for as long as the other side takes it. */
export interface LargeBody {
  /** Bytes that have left for the other side. */
  readonly writtenBytes: number;
  /** Resolves when all of it has been taken; never, if the other side stops. */
  readonly taken: Promise<void>;
}

/** Writes `x`es. @param byteCount  a multiple of 64 KiB */
export function writeLarge(stream: Duplex, byteCount: number): LargeBody {
  let writtenBytes = 0;
  const { promise: taken, resolve } = Promise.withResolvers<void>();
  const next = (): void => {
    if (writtenBytes >= byteCount) {
      resolve();
      return;
    }
    stream.write(PIECE, (error) => {
      if (error) return;
      writtenBytes += PIECE.length;
      next();
    });
  };
  next();
  return {
    get writtenBytes() {
      return writtenBytes;
    },
    taken,
  };
}
