import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import {
  DATA_VECTORS,
  makeDataVector,
  openAsReference,
  patternBytes,
  referenceChunk,
  referenceChunkKey,
  referenceHeader,
} from "../../test/data-reference.ts";
import { type DataKeyUnwrap, openData, sealData, toDataKeyUnwrap } from "./data-at-rest.ts";
import { openEnvelope, sealEnvelope } from "./envelope.ts";
import { formatEnvelope, parseEnvelope } from "./envelope-format.ts";
import { type ErrorCode, PolarisError } from "./errors.ts";
import { createEphemeralKeyHandler } from "./key-handler.ts";
import { importDataPrivateKey } from "./private-key.ts";
import { importPublicKey } from "./public-key.ts";

const CHUNK = 65_536;

const recipient = await importPublicKey(DATA_VECTORS.publicKeyPem);
const unwrap = await importDataPrivateKey(DATA_VECTORS.privateKeyPem);

/** Data of which the tests know the key: what is attacked behind it needs no private RSA operation each time. */
const SECRETS = {
  dataKey: Buffer.alloc(32, 0x11),
  salt: Buffer.alloc(32, 0x22),
  oaepSeed: Buffer.alloc(32, 0x33),
};
const header = referenceHeader(DATA_VECTORS.publicKeyPem, SECRETS);
const chunkKey = referenceChunkKey(header, SECRETS.dataKey, "");
const unwrapKnown: DataKeyUnwrap = async () => SECRETS.dataKey;

const chunk = (index: number, isLast: boolean, plaintext: Uint8Array): Buffer =>
  referenceChunk(chunkKey, index, isLast, plaintext);

/** A stream of these pieces, each given when it is asked for. */
function streamOf(pieces: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  return ReadableStream.from(pieces);
}

async function readAll(stream: ReadableStream<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** What a stream gave before it failed, and its error. */
async function readUntilFailure(
  stream: ReadableStream<Uint8Array>,
): Promise<{ plaintext: Buffer; error: PolarisError }> {
  const pieces: Uint8Array[] = [];
  try {
    for await (const piece of stream) pieces.push(piece);
  } catch (error) {
    assert.ok(error instanceof PolarisError, String(error));
    return { plaintext: Buffer.concat(pieces), error };
  }
  return assert.fail("opened");
}

/** Fails in the one way in which opening may fail for cryptographic reasons; gives what came before. */
async function assertOpenFails(
  sealed: Uint8Array,
  options: { unwrap?: DataKeyUnwrap; context?: string } = {},
): Promise<Buffer> {
  const { unwrap: unwrapWith = unwrapKnown, ...rest } = options;
  const { plaintext, error } = await readUntilFailure(openData(sealed, unwrapWith, rest));
  const { code, message, cause, details, hint } = error;
  assert.deepEqual(
    { code, message, cause, details, hint },
    {
      code: "DATA_OPEN_FAILED",
      message: "cannot open data",
      cause: undefined,
      details: undefined,
      hint: undefined,
    },
  );
  return plaintext;
}

/** Cuts bytes into pieces of these lengths, over and over. */
function cut(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const length = lengths[turn % lengths.length] ?? 1;
    pieces.push(bytes.subarray(at, at + length));
    at += length;
  }
  return pieces;
}

test("opens the golden vectors, which are what the second implementation makes of their inputs", async (t) => {
  assert.ok(DATA_VECTORS.vectors.length >= 8);
  assert.equal(recipient.keyId, DATA_VECTORS.keyId);
  for (const golden of DATA_VECTORS.vectors) {
    await t.test(golden.name, async () => {
      const { vector, sealed } = makeDataVector(golden, DATA_VECTORS.publicKeyPem);
      assert.deepEqual(vector, golden);
      const opened = await readAll(openData(sealed, unwrap, { context: golden.context }));
      assert.ok(opened.equals(patternBytes(golden.plaintextBytes)));
    });
  }
});

test("seals what the second implementation opens, at every length around the borders of chunks", async () => {
  for (const length of [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1]) {
    const plaintext = patternBytes(length);
    const sealed = await readAll(sealData(plaintext, recipient, { context: "Straße" }));
    const chunkCount = Math.max(1, Math.ceil(length / CHUNK));
    assert.equal(sealed.length, 84 + 512 + length + 16 * chunkCount);
    assert.ok(openAsReference(sealed, DATA_VECTORS.privateKeyPem, "Straße").equals(plaintext));
  }
});

test("opens what it seals, however either side is cut into pieces", async () => {
  const pieceLengths = fc.array(
    fc.oneof(fc.integer({ min: 1, max: 300 }), fc.constantFrom(0, CHUNK, 99_999)),
    {
      minLength: 1,
      maxLength: 5,
    },
  );
  const lengths = fc.oneof(
    fc.integer({ min: 0, max: 1000 }),
    fc
      .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: -2, max: 2 }))
      .map(([chunks, extra]) => chunks * CHUNK + extra),
  );
  await fc.assert(
    fc.asyncProperty(
      lengths,
      pieceLengths.filter((list) => list.some((length) => length > 0)),
      pieceLengths.filter((list) => list.some((length) => length > 0)),
      fc.string(),
      async (length, before, between, context) => {
        fc.pre(context.isWellFormed());
        const plaintext = patternBytes(length);
        const sealed = await readAll(sealData(streamOf(cut(plaintext, before)), recipient, { context }));
        const opened = await readAll(openData(streamOf(cut(sealed, between)), unwrap, { context }));
        assert.ok(opened.equals(plaintext));
      },
    ),
    { numRuns: 30 },
  );
});

test("makes other bytes of the same plaintext each time", async () => {
  const seal = (): Promise<Buffer> => readAll(sealData(Buffer.from("hello"), recipient));
  const [one, other] = await Promise.all([seal(), seal()]);
  assert.notDeepEqual(one.subarray(50, 82), other.subarray(50, 82));
  assert.notDeepEqual(one.subarray(84, 596), other.subarray(84, 596));
  assert.notDeepEqual(one.subarray(596), other.subarray(596));
});

test("asks for the key once, by the name that stands in the data", async () => {
  const asked: unknown[] = [];
  const sealed = await readAll(sealData(patternBytes(3 * CHUNK), recipient));
  await readAll(
    openData(sealed, async (request) => {
      asked.push([request.keyId, Buffer.from(request.wrappedKey).toString("hex"), request.signal?.aborted]);
      return await unwrap(request);
    }),
  );
  assert.deepEqual(asked, [[recipient.keyId, sealed.toString("hex", 84, 596), false]]);
});

test("refuses data that is cut off at any byte", async () => {
  const sealed = Buffer.concat([header, chunk(0, true, Buffer.from("a short text"))]);
  assert.equal((await readAll(openData(sealed, unwrapKnown))).toString(), "a short text");
  for (let length = 0; length < sealed.length; length++) {
    assert.equal((await assertOpenFails(sealed.subarray(0, length))).length, 0);
  }
});

test("refuses data that is cut off at or near the border of a chunk, and has given out whole chunks only", async () => {
  const plaintext = patternBytes(2 * CHUNK + 10);
  const chunks = [
    chunk(0, false, plaintext.subarray(0, CHUNK)),
    chunk(1, false, plaintext.subarray(CHUNK, 2 * CHUNK)),
    chunk(2, true, plaintext.subarray(2 * CHUNK)),
  ];
  const sealed = Buffer.concat([header, ...chunks]);
  assert.ok((await readAll(openData(sealed, unwrapKnown))).equals(plaintext));
  const borders = [1, 2].map((count) => header.length + count * (CHUNK + 16));
  for (const border of borders) {
    for (const length of [
      border - 17,
      border - 16,
      border - 1,
      border,
      border + 1,
      border + 15,
      border + 16,
    ]) {
      const given = await assertOpenFails(sealed.subarray(0, length));
      assert.equal(given.length % CHUNK, 0);
      assert.ok(given.equals(plaintext.subarray(0, given.length)));
      assert.ok(given.length < length - header.length);
    }
  }
});

test("refuses chunks that are exchanged, repeated, left out, added or taken from other data", async (t) => {
  const [a, b, c] = ["a", "b", "c"].map((letter) => Buffer.alloc(CHUNK, letter));
  const last = Buffer.from("last");
  const first = chunk(0, false, a!);
  const second = chunk(1, false, b!);
  const third = chunk(2, false, c!);
  const end = chunk(3, true, last);
  const otherKey = referenceChunkKey(header, SECRETS.dataKey, "another context");
  const cases: Record<string, readonly Buffer[]> = {
    exchanged: [second, first, third, end],
    repeated: [first, first, third, end],
    "repeated beside": [first, first, second, third, end],
    "left out": [first, third, end],
    "without the beginning": [second, third, end],
    "without the end": [first, second, third],
    "the end twice": [first, second, third, end, end],
    "the end in the middle": [first, end, second, third],
    "only the end": [end],
    "no chunk": [],
    "a byte more": [first, second, third, end, Buffer.of(0)],
    "a tag more": [first, second, third, end, Buffer.alloc(16)],
    "a chunk more": [first, second, third, end, third],
    "an end of the sender's own key added": [first, second, third, end, chunk(4, true, last)],
    "a middle that is marked as the end": [first, second, chunk(2, true, c!), end],
    "an end that is not marked": [first, second, third, chunk(3, false, last)],
    "an empty end behind whole chunks": [first, second, third, chunk(3, true, Buffer.alloc(0))],
    "a chunk of other data": [first, referenceChunk(otherKey, 1, false, b!), third, end],
  };
  const whole = Buffer.concat([header, first, second, third, end]);
  assert.equal((await readAll(openData(whole, unwrapKnown))).length, 3 * CHUNK + 4);
  for (const [name, chunks] of Object.entries(cases)) {
    await t.test(name, async () => {
      const given = await assertOpenFails(Buffer.concat([header, ...chunks]));
      assert.equal(given.length % CHUNK, 0);
    });
  }
});

test("refuses a flipped bit in each byte of the header, the chunk and the tag", async () => {
  const sealed = Buffer.concat([header, chunk(0, true, Buffer.from("text"))]);
  const malformed: number[] = [];
  for (let at = 0; at < sealed.length; at++) {
    const changed = Buffer.from(sealed);
    changed[at]! ^= 0x80;
    const { plaintext, error } = await readUntilFailure(openData(changed, unwrapKnown));
    assert.equal(plaintext.length, 0);
    if (error.code === "DATA_MALFORMED") malformed.push(at);
    else assert.deepEqual([error.code, error.message], ["DATA_OPEN_FAILED", "cannot open data"], String(at));
  }
  // Magic, version, algorithm and chunk size, and the length of the wrapped key where it is out of bounds.
  assert.deepEqual(malformed, [...Array.from({ length: 18 }, (_, index) => index), 82]);
});

test("refuses a changed wrapped key, another private key and a key that data does not name", async () => {
  const sealed = await readAll(sealData(Buffer.from("text"), recipient));
  const changed = Buffer.from(sealed);
  changed[300]! ^= 1;
  await assertOpenFails(changed, { unwrap });
  const other = createEphemeralKeyHandler({ modulusLength: 2048 });
  await assertOpenFails(sealed, { unwrap: toDataKeyUnwrap(other.unwrap) });
  const toOther = await readAll(
    sealData(Buffer.from("text"), await importPublicKey(await other.publicKeyPem())),
  );
  await assertOpenFails(toOther, { unwrap });
  assert.equal(String(await readAll(openData(toOther, toDataKeyUnwrap(other.unwrap)))), "text");
});

test("opens with the context that it was sealed with, and with no other", async () => {
  const sealed = await readAll(sealData(Buffer.from("text"), recipient, { context: "invoices/7" }));
  assert.equal(String(await readAll(openData(sealed, unwrap, { context: "invoices/7" }))), "text");
  for (const context of ["", "invoices/8", "Invoices/7", "invoices/7 ", "invoices/7\0"]) {
    await assertOpenFails(sealed, { unwrap, context });
  }
  await assertOpenFails(sealed, { unwrap });
  const plain = await readAll(sealData(Buffer.from("text"), recipient));
  assert.equal(String(await readAll(openData(plain, unwrap, { context: "" }))), "text");
  await assertOpenFails(plain, { unwrap, context: "invoices/7" });
});

test("refuses a context that is not Unicode text, because others would be the same bytes", () => {
  for (const call of [
    () => sealData(new Uint8Array(), recipient, { context: "\ud800" }),
    () => openData(new Uint8Array(), unwrap, { context: "\udfff" }),
  ]) {
    assert.throws(call, { code: "USAGE_INVALID", message: "the context is not Unicode text" });
  }
});

test("says of bytes that are something else that they are", async () => {
  const { error } = await readUntilFailure(openData(Buffer.from("hello, world"), unwrapKnown));
  assert.deepEqual(
    [error.code, error.message],
    ["DATA_MALFORMED", 'data does not begin with "polaris-data"'],
  );
});

test("does not take a key of data for a request's, nor a key of a request for data's", async () => {
  const keys = createEphemeralKeyHandler({ modulusLength: 2048 });
  const own = await importPublicKey(await keys.publicKeyPem());
  const envelope = parseEnvelope(await sealEnvelope(Buffer.from("a request"), own));
  for (const wrappedKey of [envelope.wrappedKey, envelope.wrappedIv]) {
    await assert.rejects(toDataKeyUnwrap(keys.unwrap)({ keyId: own.keyId, wrappedKey }), {
      code: "DATA_OPEN_FAILED",
    });
  }
  const data = await readAll(sealData(Buffer.from("data"), own));
  const wrappedKey = data.subarray(84, 84 + 256);
  await assert.rejects(openEnvelope(formatEnvelope({ ...envelope, wrappedKey }), keys.unwrap), {
    code: "ENVELOPE_OPEN_FAILED",
  });
});

test("tells a key that cannot be asked from a wrong one", async () => {
  const sealed = Buffer.concat([header, chunk(0, true, Buffer.from("text"))]);
  const away = new PolarisError("DATA_KEY_UNAVAILABLE", "nobody there");
  const failing = async (error: Error): Promise<PolarisError> => {
    const unwrapFailing = async (): Promise<Uint8Array> => {
      throw error;
    };
    return (await readUntilFailure(openData(sealed, unwrapFailing))).error;
  };
  assert.equal(await failing(away), away);
  const codes: ErrorCode[] = ["DATA_OPEN_FAILED", "ENVELOPE_OPEN_FAILED"];
  for (const code of codes) {
    const { message, cause } = await failing(new PolarisError(code, "a reason"));
    assert.deepEqual([message, cause], ["cannot open data", undefined]);
  }
  assert.equal((await failing(new Error("bad padding"))).message, "cannot open data");
  await assertOpenFails(sealed, { unwrap: async () => SECRETS.dataKey.subarray(1) });
  await assertOpenFails(sealed, { unwrap: async () => new Uint8Array(48) });
});

test("ends on any bytes with one of the two errors for them, and gives out nothing that was not sealed", async () => {
  const plaintext = patternBytes(CHUNK + 100);
  const sealed = Buffer.concat([
    header,
    chunk(0, false, plaintext.subarray(0, CHUNK)),
    chunk(1, true, plaintext.subarray(CHUNK)),
  ]);
  const position = fc.oneof(fc.nat(sealed.length - 1), fc.nat(header.length), fc.constant(sealed.length));
  const damaged = fc.oneof(
    fc.uint8Array({ maxLength: 2000 }),
    fc
      .tuple(position, position, fc.uint8Array({ maxLength: 40 }))
      .map(([from, to, between]) =>
        Buffer.concat([sealed.subarray(0, from), between, sealed.subarray(Math.max(from, to))]),
      ),
  );
  await fc.assert(
    fc.asyncProperty(damaged, async (bytes) => {
      fc.pre(!sealed.equals(bytes));
      const { plaintext: given, error } = await readUntilFailure(openData(bytes, unwrapKnown));
      assert.match(error.code, /^DATA_(MALFORMED|OPEN_FAILED)$/);
      assert.ok(given.equals(plaintext.subarray(0, given.length)));
    }),
    { numRuns: 300 },
  );
});

/** An endless source that counts what is asked of it. */
function countingSource(piece: Uint8Array): {
  stream: ReadableStream<Uint8Array>;
  seen: { pulls: number; cancelled: unknown };
} {
  const seen: { pulls: number; cancelled: unknown } = { pulls: 0, cancelled: undefined };
  const stream = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        seen.pulls += 1;
        controller.enqueue(piece);
      },
      cancel(reason) {
        seen.cancelled = reason;
      },
    },
    { highWaterMark: 0 },
  );
  return { stream, seen };
}

test("reads no further than it is asked for, and tells its source of a cancellation", async () => {
  const { stream, seen } = countingSource(new Uint8Array(CHUNK));
  const sealed = sealData(stream, recipient);
  assert.equal(seen.pulls, 0);
  const reader = sealed.getReader();
  await reader.read(); // the header
  assert.equal(seen.pulls, 0);
  for (let index = 1; index <= 20; index++) {
    await reader.read();
    assert.ok(seen.pulls <= index + 1, `${seen.pulls} pieces for ${index} chunks`);
  }
  const reason = new Error("enough");
  await reader.cancel(reason);
  assert.equal(seen.cancelled, reason);

  const endless = Array.from({ length: 50 }, (_, index) => chunk(index, false, new Uint8Array(CHUNK)));
  let given = 0;
  const opening = openData(
    ReadableStream.from(
      (function* () {
        for (const piece of [header, ...endless]) {
          given += 1;
          yield piece;
        }
      })(),
    ),
    unwrapKnown,
  ).getReader();
  for (let index = 1; index <= 20; index++) {
    assert.equal((await opening.read()).value?.length, CHUNK);
    assert.ok(given <= index + 2, `${given} pieces for ${index} chunks`);
  }
  await opening.cancel(reason);
});

test("ends a question for the key and a wait for more bytes when it is cancelled", async () => {
  const sealed = Buffer.concat([header, chunk(0, true, Buffer.from("text"))]);
  const asked = Promise.withResolvers<AbortSignal | undefined>();
  const reader = openData(sealed, ({ signal }) => {
    asked.resolve(signal);
    return new Promise(() => undefined);
  }).getReader();
  const pending = reader.read();
  const signal = await asked.promise;
  const reason = new Error("enough");
  await reader.cancel(reason);
  assert.equal(signal?.reason, reason);
  assert.deepEqual(await pending, { done: true, value: undefined });

  const waited = Promise.withResolvers<unknown>();
  const silent = new ReadableStream<Uint8Array>({ cancel: (why) => waited.resolve(why) });
  const waiting = sealData(silent, recipient).getReader();
  await waiting.read();
  const nothing = waiting.read();
  await waiting.cancel(reason);
  assert.equal(await waited.promise, reason);
  assert.deepEqual(await nothing, { done: true, value: undefined });
});

test("passes on what its source fails with, and lets go of a source that it refuses", async () => {
  const broken = new Error("disk on fire");
  const failing = (): ReadableStream<Uint8Array> =>
    ReadableStream.from(
      (function* () {
        yield header;
        throw broken;
      })(),
    );
  await assert.rejects(readAll(openData(failing(), unwrapKnown)), broken);
  await assert.rejects(readAll(sealData(failing(), recipient)), broken);

  const { stream, seen } = countingSource(Buffer.alloc(CHUNK, "x"));
  const { error } = await readUntilFailure(openData(stream, unwrapKnown));
  assert.equal(error.code, "DATA_MALFORMED");
  assert.equal(seen.cancelled, error);
  assert.equal(seen.pulls, 1);
});

test("refuses a source of anything but bytes", async () => {
  const text = ReadableStream.from(["text"]) as unknown as ReadableStream<Uint8Array>;
  await assert.rejects(readAll(sealData(text, recipient)), {
    name: "TypeError",
    message: "expected a stream of Uint8Array",
  });
});

test("keeps the vectors' hashes in step with their bytes", () => {
  const short = DATA_VECTORS.vectors.filter(({ sealedBase64 }) => sealedBase64 !== undefined);
  assert.ok(short.length >= 3);
  for (const { sealedBase64 = "", sealedSha256 } of short) {
    const bytes = Buffer.from(sealedBase64, "base64");
    assert.equal(createHash("sha256").update(bytes).digest("hex"), sealedSha256);
  }
});
