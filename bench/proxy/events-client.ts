import { connect } from "node:net";
import type { EventsJob, EventsOutcome } from "./jobs.ts";
import { createMessageReader } from "./message-reader.ts";
import { EVENT, formatClearRequest } from "./messages.ts";

/** Listens to streams of events, one after the other, each to its end. */
export async function listenToEvents({ port, count }: EventsJob): Promise<EventsOutcome> {
  const { promise: ended, resolve, reject } = Promise.withResolvers<undefined>();
  const request = formatClearRequest("GET", "/events");
  const firstEventMs: number[] = [];
  let askedMs = 0;
  let received = "";
  let isGreeted = false;

  function ask(): void {
    received = "";
    isGreeted = false;
    askedMs = performance.now();
    socket.write(request);
  }

  const read = createMessageReader({
    onHead: () => undefined,
    onBody(piece) {
      received += piece.toString("latin1");
      if (isGreeted || !received.includes(EVENT)) return;
      isGreeted = true;
      firstEventMs.push(performance.now() - askedMs);
    },
    onEnd() {
      if (!isGreeted) reject(new Error(`a stream without the event: ${received.slice(0, 200)}`));
      else if (firstEventMs.length === count) resolve(undefined);
      else ask();
    },
  });
  const socket = connect({ port, host: "127.0.0.1", noDelay: true }, ask);
  socket.on("data", read);
  socket.on("error", reject);
  socket.on("close", () => reject(new Error("the connection ended before the stream")));
  try {
    await ended;
    return { firstEventMs };
  } finally {
    socket.destroy();
  }
}
