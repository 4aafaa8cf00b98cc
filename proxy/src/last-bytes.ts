/** How the proxy lets go of a connection: with an answer, with patience, or so that nobody takes it for the regular end. */
import { STATUS_CODES } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import type { FieldLines } from "./field-lines.ts";

/** Longest that a client may take to end its side, or to take more of what is left for it. */
const LINGER_MS = 2_000;

/** The text of a whole HTTP/1.1 answer after which the connection ends. */
export function formatLastAnswer(status: number, fieldLines: FieldLines, body: string): string {
  const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`];
  for (let index = 0; index < fieldLines.length; index += 2) {
    lines.push(`${fieldLines[index]}: ${fieldLines[index + 1]}`);
  }
  return `${lines.join("\r\n")}\r\nconnection: close\r\n\r\n${body}`;
}

/**
 * Sends the last bytes of a connection. It is not cut off at once, for then the client might not get to them; what it still
 * sends is thrown away.
 */
export function endConnection(socket: Duplex, lastBytes: string | Buffer = ""): void {
  if (socket.destroyed) return;
  if (!socket.writableEnded) socket.end(lastBytes);
  socket.resume();
  let leftBefore = 0;
  const timer = setInterval(() => {
    const left = socket.writableLength;
    if (left === 0 || left === leftBefore) socket.destroy();
    leftBefore = left;
  }, LINGER_MS);
  socket.once("close", () => clearInterval(timer));
}

/** Ends a connection in the middle. */
export function breakConnection(socket: Duplex): void {
  // TLS says when it ends, and that is missing then.
  if (socket instanceof Socket && !(socket instanceof TLSSocket)) socket.resetAndDestroy();
  else socket.destroy();
}
