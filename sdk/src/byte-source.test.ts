import assert from "node:assert/strict";
import { test } from "node:test";
import { createByteSource } from "./byte-source.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test("gives as many bytes as are asked for, however the stream is cut, and fewer at the end", async () => {
  const source = createByteSource(ReadableStream.from(["", "ab", "", "cdefg", "h", ""].map(bytes)));
  const read = async (byteCount: number): Promise<string> =>
    Buffer.from(await source.read(byteCount)).toString();
  assert.equal(await source.isAtEnd(), false);
  assert.equal(await read(1), "a");
  assert.equal(await read(4), "bcde");
  assert.equal(await read(2), "fg");
  assert.equal(await source.isAtEnd(), false);
  assert.equal(await read(5), "h");
  assert.equal(await source.isAtEnd(), true);
  assert.equal(await read(5), "");
});

test("copies nothing where a piece is long enough, and keeps what it gave", async () => {
  const piece = bytes("abcdef");
  const source = createByteSource(ReadableStream.from([piece, bytes("gh")]));
  const first = await source.read(4);
  assert.equal(first.buffer, piece.buffer);
  const second = await source.read(4);
  assert.deepEqual([Buffer.from(first).toString(), Buffer.from(second).toString()], ["abcd", "efgh"]);
});

test("takes bytes in the place of a stream, also none", async () => {
  const source = createByteSource(bytes("abc"));
  assert.equal(Buffer.from(await source.read(10)).toString(), "abc");
  assert.equal(await createByteSource(new Uint8Array()).isAtEnd(), true);
});

test("ends a read that waits when it is cancelled", async () => {
  const reasons: unknown[] = [];
  const silent = new ReadableStream<Uint8Array>({ cancel: (reason) => void reasons.push(reason) });
  const source = createByteSource(silent);
  const waiting = source.read(5);
  await source.cancel("enough");
  assert.equal((await waiting).length, 0);
  assert.deepEqual(reasons, ["enough"]);
});
