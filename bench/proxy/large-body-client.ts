import { connect } from "node:net";
import type { Socket } from "node:net";
import type { LargeBodyJob, LargeBodyOutcome } from "./jobs.ts";
import { createMessageReader } from "./message-reader.ts";
import { LARGE_BODY_BYTES, formatClearRequest } from "./messages.ts";

const PIECE = Buffer.alloc(256 * 1024, "polaris ");

/** Sends or receives one large body, and makes sure that all of it has come. */
export async function transferLargeBody({ kind, port }: LargeBodyJob): Promise<LargeBodyOutcome> {
  const { promise: answered, resolve, reject } = Promise.withResolvers<undefined>();
  const startedMs = performance.now();
  const socket = connect({ port, host: "127.0.0.1", noDelay: true }, () => {
    if (kind === "download") socket.write(formatClearRequest("GET", "/large"));
    else sendLarge(socket);
  });
  let head = "";
  let byteCount = 0;
  let text = "";
  const read = createMessageReader({
    onHead: (received) => (head = received),
    onBody(piece) {
      byteCount += piece.length;
      if (kind === "upload") text += piece.toString("latin1");
    },
    onEnd: () => resolve(undefined),
  });
  socket.on("data", read);
  socket.on("error", reject);
  socket.on("close", () => reject(new Error("the connection ended before the answer")));
  try {
    await answered;
    const arrived = kind === "download" ? byteCount : Number(text);
    if (!head.startsWith("HTTP/1.1 200 ") || arrived !== LARGE_BODY_BYTES)
      throw new Error(`${kind} of 1 GiB: ${head.split("\r\n")[0]}, ${arrived} bytes arrived`);
    return { elapsedMs: performance.now() - startedMs };
  } finally {
    socket.destroy();
  }
}

function sendLarge(socket: Socket): void {
  let awaited = LARGE_BODY_BYTES;
  socket.write(formatClearRequest("POST", "/large", LARGE_BODY_BYTES));
  const send = (): void => {
    while (awaited > 0 && !socket.destroyed) {
      awaited -= PIECE.length;
      if (!socket.write(PIECE)) {
        socket.once("drain", send);
        return;
      }
    }
  };
  send();
}
