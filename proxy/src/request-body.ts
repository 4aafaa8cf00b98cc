import type { Readable } from "node:stream";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { departure } from "./client-presence.ts";
import type { ClientRequest } from "./received-request.ts";
import type { Traffic } from "./traffic.ts";

/** Bodies of which no more can come, and why, though their clients are still there to be told. */
const broken = new WeakMap<Readable, PolarisError>();

/** Says that no more of a body can come, to whoever reads it or is going to. */
export function breakBody(body: Readable, error: PolarisError): void {
  broken.set(body, error);
  if (body.listenerCount("error") > 0) body.emit("error", error);
}

/**
 * The pieces of a client's body as they come, read when the workload can take them. Unlike the stream itself, it can be
 * given up without cutting the client off, who is still to read the answer.
 *
 * @param idleTimeoutMs  longest wait for the client; while the workload is behind, nobody counts the time
 * Throws REQUEST_TIMEOUT, what {@link breakBody} says, or an Error if the client goes away in the middle.
 */
export async function* readPieces(
  body: Readable,
  idleTimeoutMs: number,
  traffic: Traffic,
): AsyncGenerator<Buffer, void, undefined> {
  for (;;) {
    const piece = body.read() as Buffer | null;
    if (piece !== null) {
      traffic.bytesIn += piece.length;
      yield piece;
    } else if (body.readableEnded) {
      return;
    } else {
      await waitForMore(body, idleTimeoutMs);
    }
  }
}

/** Resolves when there is more to read, or the end. */
function waitForMore(body: Readable, idleTimeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      settle(new PolarisError("REQUEST_TIMEOUT", `nothing of the body came for ${idleTimeoutMs} ms`));
    }, idleTimeoutMs);
    const more = (): void => settle();
    const gone = (): void => settle(broken.get(body) ?? departure());
    function settle(error?: Error): void {
      clearTimeout(timer);
      body.off("readable", more).off("end", more).off("error", gone).off("close", gone);
      if (error === undefined) resolve();
      else reject(error);
    }
    body.on("readable", more).on("end", more).on("error", gone).on("close", gone);
    if (broken.has(body) || (body.destroyed && !body.readableEnded)) gone();
  });
}

/**
 * Reads what a client still sends behind its answer, so that it gets to the answer, and to its next request.
 *
 * @param longestMs  then it is cut off
 */
export function discardRest(request: ClientRequest, longestMs: number): void {
  if (request.readableEnded || request.destroyed) return;
  const timer = setTimeout(() => {
    if ("stream" in request) request.stream.close();
    else request.destroy();
  }, longestMs);
  // Once it is answered, Node does not tell a request of HTTP/1 of the end of its connection.
  const connection = "stream" in request ? request.stream : request.socket;
  const settle = (): void => {
    clearTimeout(timer);
    connection.off("close", settle);
  };
  request.once("end", settle);
  connection.once("close", settle);
  // Where somebody waits for "readable", as readPieces may, resume() does nothing.
  const drain = (): void => {
    while (request.read() !== null);
  };
  request.on("readable", drain);
  drain();
}
