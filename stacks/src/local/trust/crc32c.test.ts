import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { crc32c } from "./crc32c.ts";

test("CRC-32C gives the values of RFC 3720 appendix B.4, and is not the CRC-32 of zlib", () => {
  const ascending = Uint8Array.from({ length: 32 }, (_, index) => index);
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assert.equal(crc32c(ascending), 0x46dd794e);
  assert.equal(crc32c(ascending.toReversed()), 0x113fdb5c);
  assert.equal(crc32c(Buffer.from("123456789")), 0xe3069283);
  assert.equal(crc32c(new Uint8Array()), 0);
  assert.notEqual(crc32c(Buffer.from("123456789")), crc32("123456789"));
});
