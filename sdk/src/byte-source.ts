/** A stream as bytes to be asked for, of which no more is held than its own pieces and what was asked for. */
export interface ByteSource {
  /**
   * The next bytes: as many as asked for, fewer only at the end.
   *
   * @returns a view of the stream's own piece, or a copy where more than one piece is needed
   */
  read(byteCount: number): Promise<Uint8Array>;
  /** True if nothing follows. Waits for the next byte or the end. */
  isAtEnd(): Promise<boolean>;
  /** Tells the stream that nobody reads on; a `read` that waits ends as at the end. */
  cancel(reason: unknown): Promise<void>;
}

export function createByteSource(input: ReadableStream<Uint8Array> | Uint8Array): ByteSource {
  const reader = (input instanceof Uint8Array ? streamOfOne(input) : input).getReader();
  let piece: Uint8Array = new Uint8Array();

  /** Gets a piece with something in it; false at the end. */
  async function refill(): Promise<boolean> {
    while (piece.length === 0) {
      const { done, value } = await reader.read();
      if (done) return false;
      if (!(value instanceof Uint8Array)) throw new TypeError("expected a stream of Uint8Array");
      piece = value;
    }
    return true;
  }

  function take(byteCount: number): Uint8Array {
    const taken = piece.subarray(0, byteCount);
    piece = piece.subarray(taken.length);
    return taken;
  }

  return {
    async read(byteCount) {
      if (!(await refill())) return new Uint8Array();
      if (piece.length >= byteCount) return take(byteCount);
      const bytes = new Uint8Array(byteCount);
      let at = 0;
      while (at < byteCount && (await refill())) {
        const taken = take(byteCount - at);
        bytes.set(taken, at);
        at += taken.length;
      }
      return bytes.subarray(0, at);
    },
    isAtEnd: async () => !(await refill()),
    cancel: (reason) => reader.cancel(reason),
  };
}

function streamOfOne(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });
}
