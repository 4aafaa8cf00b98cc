import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { streamBody } from "./stream-body.ts";

const PIECE = Buffer.alloc(64 * 1024, "x");

/** A message that never ends; `pieces` tells how many were taken from it. */
function endlessMessage(headers: Record<string, string> = {}, piece = PIECE) {
  const taken = { pieces: 0 };
  const readable = new Readable({
    highWaterMark: 1,
    async read() {
      await setImmediate();
      taken.pieces++;
      this.push(piece);
    },
  });
  return { taken, message: Object.assign(readable, { headers }) as unknown as IncomingMessage };
}

/** Turns of the event loop, in each of which a flowing stream gives pieces. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 100; turn++) await setImmediate();
}

test("takes no more from the connection than the reader takes", async () => {
  const { taken, message } = endlessMessage();
  const { stream, isRead } = streamBody(message);
  await turns();
  assert.ok(taken.pieces <= 3, `${taken.pieces} pieces taken before anybody read`);
  assert.equal(isRead(), false);
  const reader = stream.getReader();
  for (let round = 0; round < 50; round++)
    assert.deepEqual(Buffer.from((await reader.read()).value ?? []), PIECE);
  await turns();
  assert.ok(taken.pieces >= 50 && taken.pieces <= 54, `${taken.pieces} pieces taken for 50`);
  await reader.cancel();
  assert.equal(message.destroyed, true);
});

test("takes no more than is read where the content is coded, either", async () => {
  const { taken, message } = endlessMessage({ "content-encoding": "gzip" }, gzipSync(randomBytes(64 * 1024)));
  const reader = streamBody(message).stream.getReader();
  await reader.read();
  await turns();
  assert.ok(taken.pieces <= 6, `${taken.pieces} pieces taken for less than one`);
  await reader.cancel();
});

test("ends once: what comes after a failure or a cancellation changes nothing", async () => {
  const reason = new Error("enough");
  const failed = endlessMessage();
  const body = streamBody(failed.message);
  body.fail(reason);
  body.fail(new Error("later"));
  failed.message.resume();
  await turns();
  failed.message.destroy(new Error("later still"));
  await assert.rejects(body.stream.getReader().read(), (error) => error === reason);

  const cancelled = endlessMessage();
  const other = streamBody(cancelled.message);
  await other.stream.cancel();
  other.fail(reason);
  assert.deepEqual(await other.stream.getReader().read(), { done: true, value: undefined });
});
