/**
 * The workload behind both proxies, as cheap as it can be. `/large` sends or takes a body of any length, `/events` sends an
 * event at once and ends a moment later; everything else is answered with 1 KiB.
 *
 * Tells its port to the process that started it, and ends with it.
 */
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { createMessageReader } from "./message-reader.ts";
import { EVENT, EVENTS_LAST_MS, LARGE_BODY_BYTES, SMALL_BODY, formatMessage } from "./messages.ts";

const PIECE = Buffer.alloc(256 * 1024, "polaris ");

const FIELDS = {
  date: "Sat, 21 Nov 2026 09:00:00 GMT",
  "content-type": "text/plain; charset=utf-8",
  "cache-control": "no-cache",
  etag: '"1f-6a5b"',
};

const SMALL = formatMessage("HTTP/1.1 200 OK", FIELDS, SMALL_BODY);
const LARGE_HEAD = formatMessage("HTTP/1.1 200 OK", {
  ...FIELDS,
  "content-length": String(LARGE_BODY_BYTES),
});
const EVENTS_HEAD = formatMessage("HTTP/1.1 200 OK", {
  ...FIELDS,
  "content-type": "text/event-stream",
  "transfer-encoding": "chunked",
});
const EVENT_CHUNK = `${EVENT.length.toString(16)}\r\n${EVENT}\r\n`;
const LAST_CHUNK = "0\r\n\r\n";

function serve(socket: Socket): void {
  let head = "";
  let byteCount = 0;
  const read = createMessageReader({
    onHead(text) {
      head = text;
      byteCount = 0;
    },
    onBody(piece) {
      byteCount += piece.length;
    },
    onEnd() {
      if (head.startsWith("GET /large ")) sendLarge(socket);
      else if (head.startsWith("POST /large "))
        socket.write(formatMessage("HTTP/1.1 200 OK", FIELDS, Buffer.from(String(byteCount))));
      else if (head.startsWith("GET /events ")) sendEvents(socket);
      else socket.write(SMALL);
    },
  });
  socket.setNoDelay(true);
  socket.on("data", read);
  socket.on("error", () => undefined);
}

function sendLarge(socket: Socket): void {
  let awaited = LARGE_BODY_BYTES;
  socket.write(LARGE_HEAD);
  const send = (): void => {
    while (awaited > 0) {
      const piece = awaited < PIECE.length ? PIECE.subarray(0, awaited) : PIECE;
      awaited -= piece.length;
      if (!socket.write(piece)) {
        if (awaited > 0) socket.once("drain", send);
        return;
      }
    }
  };
  send();
}

/** The head and the event in two writes, as applications send them. */
function sendEvents(socket: Socket): void {
  socket.write(EVENTS_HEAD);
  socket.write(EVENT_CHUNK);
  setTimeout(() => socket.write(LAST_CHUNK), EVENTS_LAST_MS);
}

const server = createServer(serve);
server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
process.once("disconnect", () => process.exit());
