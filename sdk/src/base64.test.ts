import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { decodeBase64, decodeBase64Url, encodeBase64, encodeBase64Url } from "./base64.ts";

test("encodes and decodes the test vectors of RFC 4648 §10", () => {
  const vectors: Record<string, string> = {
    "": "",
    f: "Zg==",
    fo: "Zm8=",
    foo: "Zm9v",
    foob: "Zm9vYg==",
    fooba: "Zm9vYmE=",
    foobar: "Zm9vYmFy",
  };
  for (const [text, encoded] of Object.entries(vectors)) {
    assert.equal(encodeBase64(Buffer.from(text)), encoded);
    assert.equal(Buffer.from(decodeBase64(encoded)!).toString(), text);
    const unpadded = encoded.replaceAll("=", "");
    assert.equal(encodeBase64Url(Buffer.from(text)), unpadded);
    assert.equal(Buffer.from(decodeBase64Url(unpadded)!).toString(), text);
  }
});

test("agrees with Buffer on any bytes, in both alphabets and directions", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const buffer = Buffer.from(bytes);
      assert.equal(encodeBase64(bytes), buffer.toString("base64"));
      assert.equal(encodeBase64Url(bytes), buffer.toString("base64url"));
      assert.deepEqual(decodeBase64(buffer.toString("base64")), bytes);
      assert.deepEqual(decodeBase64Url(buffer.toString("base64url")), bytes);
    }),
  );
});

test("decodes nothing but the canonical text", () => {
  for (const text of [
    "Zg", // no padding
    "Zg=", // half of the padding
    "Zh==", // stray bits that carry nothing
    "Zm9=",
    "Zm9v=", // padding too much
    "Zm9v====",
    "=Zm9",
    "Z=g=",
    "A===",
    "====",
    " Zg==",
    "Zg==\n",
    "Zm\n9v",
    "Zm9-", // the other alphabet
    "Zm9_",
    "Zm9\u{1f600}",
    "Zm9\u00ff",
    "Zm9\0",
  ]) {
    assert.equal(decodeBase64(text), undefined, JSON.stringify(text));
  }
  for (const text of ["Z", "Zh", "Zg==", "Zm9+", "Zm9/", "Zm9vY", "Zm 9v"]) {
    assert.equal(decodeBase64Url(text), undefined, JSON.stringify(text));
  }
});

test("accepts only texts that encode back to themselves", () => {
  const symbol = fc.constantFrom(...Array.from("ABab019+/-_= "));
  fc.assert(
    fc.property(fc.string({ unit: symbol, maxLength: 12 }), (text) => {
      const standard = decodeBase64(text);
      if (standard !== undefined) assert.equal(encodeBase64(standard), text);
      const urlSafe = decodeBase64Url(text);
      if (urlSafe !== undefined) assert.equal(encodeBase64Url(urlSafe), text);
    }),
    { numRuns: 2000 },
  );
});
