/** What a reader tells, in the order of the bytes. */
export interface MessageHandler {
  /** Start line and fields, without the blank line after them. */
  readonly onHead: (head: string) => void;
  readonly onBody: (piece: Buffer) => void;
  readonly onEnd: () => void;
}

/**
 * Reads HTTP/1.1 messages from the pieces of a connection, as cheaply as that can be done in Node: whoever measures must
 * take less time than what it measures. It knows content-length and chunked; without either a message has no body. It is
 * no guard: both ends of the benchmark are ours.
 *
 * @throws {Error} for a chunk size that is none
 */
export function createMessageReader(handler: MessageHandler): (piece: Buffer) => void {
  let held: Buffer | undefined;
  let state: "head" | "fixed" | "size" | "chunk" | "chunk-end" | "trailers" = "head";
  /** Bytes of the body, or of the chunk, that are still to come. */
  let awaited = 0;

  function beginBody(head: string): void {
    handler.onHead(head);
    awaited = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    if (awaited > 0) state = "fixed";
    else if (/\r\ntransfer-encoding: *chunked/i.test(head)) state = "size";
    else end();
  }

  function end(): void {
    state = "head";
    handler.onEnd();
  }

  /** Reads what it can from `start` on; returns how far it came. */
  function step(bytes: Buffer, start: number): number {
    if (state === "fixed" || state === "chunk") {
      const stop = Math.min(bytes.length, start + awaited);
      awaited -= stop - start;
      handler.onBody(start === 0 && stop === bytes.length ? bytes : bytes.subarray(start, stop));
      if (awaited === 0 && state === "fixed") end();
      else if (awaited === 0) state = "chunk-end";
      return stop;
    }
    const terminator = state === "head" ? "\r\n\r\n" : "\r\n";
    const found = bytes.indexOf(terminator, start, "latin1");
    if (found < 0) return start;
    const text = bytes.toString("latin1", start, found);
    if (state === "head") beginBody(text);
    else if (state === "size") beginChunk(text);
    else if (state === "chunk-end") state = "size";
    else if (text === "") end();
    return found + terminator.length;
  }

  function beginChunk(size: string): void {
    awaited = Number.parseInt(size, 16);
    if (!Number.isInteger(awaited)) throw new Error("what came is no chunk");
    state = awaited === 0 ? "trailers" : "chunk";
  }

  return (piece) => {
    const bytes = held === undefined ? piece : Buffer.concat([held, piece]);
    let at = 0;
    for (let next = 0; at < bytes.length; at = next) {
      next = step(bytes, at);
      if (next === at) break;
    }
    held = at < bytes.length ? bytes.subarray(at) : undefined;
  };
}
