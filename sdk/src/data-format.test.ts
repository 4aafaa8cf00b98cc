import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import {
  DATA_CHUNK_BYTES,
  DATA_HEADER_START_BYTES,
  formatChunkNonce,
  formatDataHeader,
  formatWrappedValue,
  MAX_DATA_CHUNKS,
  parseDataHeaderStart,
  parseWrappedValue,
} from "./data-format.ts";

const KEY_ID = `sha256:${"0123456789abcdef".repeat(4)}`;
const HEADER = {
  keyId: KEY_ID,
  salt: new Uint8Array(32).fill(0x5a),
  wrappedKey: new Uint8Array(256).fill(0xc3),
};

/** The header with some bytes in the place of others. */
function withBytes(at: number, ...bytes: readonly number[]): Uint8Array {
  const header = formatDataHeader(HEADER);
  header.set(bytes, at);
  return header.subarray(0, DATA_HEADER_START_BYTES);
}

test("lays out a header byte for byte", () => {
  assert.equal(
    Buffer.from(formatDataHeader(HEADER)).toString("hex"),
    [
      Buffer.from("polaris-data").toString("hex"),
      "01",
      "01",
      "00010000",
      "0123456789abcdef".repeat(4),
      "5a".repeat(32),
      "0100",
      "c3".repeat(256),
    ].join(""),
  );
});

test("reads back what it lays out, out of a view into a larger buffer", () => {
  const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
    fc.uint8Array({ minLength: length, maxLength: length });
  fc.assert(
    fc.property(bytes(32), bytes(32), fc.integer({ min: 256, max: 1024 }), (keyId, salt, wrappedKeyBytes) => {
      const header = {
        keyId: `sha256:${Buffer.from(keyId).toString("hex")}`,
        salt,
        wrappedKey: new Uint8Array(wrappedKeyBytes).fill(7),
      };
      const start = formatDataHeader(header).subarray(0, DATA_HEADER_START_BYTES);
      const view = Buffer.concat([Buffer.alloc(3), start]).subarray(3);
      const parsed = parseDataHeaderStart(view);
      assert.deepEqual(
        { ...parsed, salt: new Uint8Array(parsed.salt) },
        { keyId: header.keyId, salt, wrappedKeyBytes },
      );
    }),
  );
});

test("refuses every other layout and says what is wrong", async (t) => {
  const cases: Record<string, [Uint8Array, string]> = {
    "another file": [Buffer.from("%PDF-1.7"), 'data does not begin with "polaris-data"'],
    "a request of wire v1": [
      Buffer.from('\0\0\0\x4d{"wrappedKey":""}'),
      'data does not begin with "polaris-data"',
    ],
    "the next version": [withBytes(12, 2), "data is of version 2, expected 1"],
    "version 0": [withBytes(12, 0), "data is of version 0, expected 1"],
    "another algorithm": [withBytes(13, 2), "data names algorithm 2, expected 1"],
    "endless chunks": [
      withBytes(14, 0xff, 0xff, 0xff, 0xff),
      "data announces chunks of 4294967295 bytes, expected 65536",
    ],
    "chunks of nothing": [withBytes(14, 0, 0, 0, 0), "data announces chunks of 0 bytes, expected 65536"],
    "a key that no RSA wraps": [
      withBytes(82, 0, 255),
      "data announces a wrapped key of 255 bytes, expected 256 to 1024",
    ],
    "a key without an end": [
      withBytes(82, 4, 1),
      "data announces a wrapped key of 1025 bytes, expected 256 to 1024",
    ],
  };
  for (const [name, [bytes, message]] of Object.entries(cases)) {
    await t.test(name, () => {
      assert.throws(() => parseDataHeaderStart(bytes), { code: "DATA_MALFORMED", message });
    });
  }
});

test("takes a header that ends early for cut data, not for another format", () => {
  const start = withBytes(0);
  for (let length = 0; length < DATA_HEADER_START_BYTES; length++) {
    assert.throws(() => parseDataHeaderStart(start.subarray(0, length)), {
      code: "DATA_OPEN_FAILED",
      message: "cannot open data",
    });
  }
});

test("gives every chunk another nonce, and the last one its flag", () => {
  const prefix = Uint8Array.of(1, 2, 3, 4, 5, 6, 7);
  const nonce = (index: number, isLast: boolean): string =>
    Buffer.from(formatChunkNonce(prefix, index, isLast)).toString("hex");
  assert.equal(nonce(0, false), "010203040506070000000000");
  assert.equal(nonce(0, true), "010203040506070000000001");
  assert.equal(nonce(0x01020304, false), "010203040506070102030400");
  assert.equal(nonce(MAX_DATA_CHUNKS - 1, true), "01020304050607ffffffff01");
});

test("refuses more chunks than the counter has numbers", () => {
  for (const index of [MAX_DATA_CHUNKS, MAX_DATA_CHUNKS + 1, Number.MAX_SAFE_INTEGER]) {
    assert.throws(() => formatChunkNonce(new Uint8Array(7), index, false), {
      code: "DATA_MALFORMED",
      message: `data is longer than 4294967296 chunks of ${DATA_CHUNK_BYTES} bytes`,
    });
  }
});

test("knows a key that was wrapped for data from every other wrapped value", () => {
  const dataKey = Uint8Array.from({ length: 32 }, (_, index) => index);
  const value = formatWrappedValue(dataKey);
  assert.equal(Buffer.from(value).toString("latin1", 0, 16), "polaris-data-v1\0");
  assert.equal(value.length, 48);
  assert.deepEqual(parseWrappedValue(value), dataKey);

  const changed = value.slice();
  changed[15] = 1;
  for (const other of [
    new Uint8Array(),
    dataKey,
    new Uint8Array(12),
    new Uint8Array(16),
    value.subarray(0, 16),
    value.subarray(0, 47),
    Buffer.concat([value, Buffer.of(0)]),
    changed,
    new Uint8Array(48),
  ]) {
    assert.equal(parseWrappedValue(other), undefined, `${other.length} bytes`);
  }
});
