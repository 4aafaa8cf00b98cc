import type { IncomingMessage } from "node:http";
import { pipeline, type Readable, type Transform } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";

/** A response's body on its way to the reader. */
export interface BodyStream {
  readonly stream: ReadableStream<Uint8Array>;
  /** Ends it with an error, unless it has ended. */
  readonly fail: (reason: unknown) => void;
  /** False while the reader does not want more. */
  readonly isRead: () => boolean;
}

/** The content codings that fetch decodes (RFC 9110 §8.4.1). */
const DECODERS: ReadonlyMap<string | undefined, () => Transform> = new Map([
  ["gzip", createGunzip],
  ["x-gzip", createGunzip],
  ["deflate", createInflate],
  ["br", createBrotliDecompress],
]);

/** The body of a message as fetch gives it: decoded, piece by piece as the reader takes it. */
export function streamBody(message: IncomingMessage): BodyStream {
  const content = decodeContent(message);
  let end: ((finish: (controller: ReadableStreamDefaultController) => void) => void) | undefined;
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      let ended = false;
      end = (finish) => {
        if (!ended) finish(controller);
        ended = true;
      };
      content.on("data", (piece: Buffer) => {
        if (ended) return;
        controller.enqueue(new Uint8Array(piece.buffer, piece.byteOffset, piece.length));
        if ((controller.desiredSize ?? 0) <= 0) content.pause();
      });
      content.on("end", () => end?.(() => controller.close()));
      content.on("error", (cause) => end?.(() => controller.error(new TypeError("terminated", { cause }))));
      content.pause();
    },
    pull() {
      content.resume();
    },
    cancel() {
      end?.(() => undefined);
      message.destroy();
    },
  });
  return {
    stream,
    fail: (reason) => end?.((controller) => controller.error(reason)),
    isRead: () => !content.isPaused(),
  };
}

function decodeContent(message: IncomingMessage): Readable {
  const decoder = DECODERS.get(message.headers["content-encoding"]?.toLowerCase())?.();
  // What goes wrong is told by the decoder's own "error".
  return decoder === undefined ? message : pipeline(message, decoder, () => undefined);
}
