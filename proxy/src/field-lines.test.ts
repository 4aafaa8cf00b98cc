import assert from "node:assert/strict";
import { test } from "node:test";
import { createFieldFilter, parseSealedFields } from "./field-lines.ts";

const filter = createFieldFilter();

test("fields of this hop end here, also those that Connection names", () => {
  const lines = [
    ["Connection", "close, X-Hop"],
    ["connection", "Other-Hop"],
    ["X-Hop", "1"],
    ["other-hop", "2"],
    ["Keep-Alive", "timeout=5"],
    ["TE", "trailers"],
    ["Trailer", "x"],
    ["Upgrade", "h2c"],
    ["Transfer-Encoding", "chunked"],
    ["Proxy-Authorization", "Basic x"],
    ["Proxy-Authenticate", "Basic"],
    ["Proxy-Connection", "close"],
    ["X-Kept", "3"],
  ].flat();
  assert.deepEqual(filter(lines), ["X-Kept", "3"]);
});

test("the proxy's own fields and the dropped ones go no further, whatever their case", () => {
  const lines = ["Polaris-Anything", "1", "POLARIS-URL", "2", "Host", "h", "Accept", "*/*"];
  assert.deepEqual(createFieldFilter(["host"])(lines), ["Accept", "*/*"]);
});

test("repeated fields stay repeated and in order", () => {
  const lines = ["Set-Cookie", "a=1", "X", "2", "set-cookie", "b=2"];
  assert.deepEqual(filter(lines), lines);
});

test("sealed headers are texts, numbers, truth values and lists of texts", () => {
  const json = JSON.stringify({ Accept: "*/*", "content-length": 17, "x-flag": true, "x-list": ["a", "b"] });
  const expected = ["Accept", "*/*", "content-length", "17", "x-flag", "true", "x-list", "a", "x-list", "b"];
  assert.deepEqual(parseSealedFields(json), expected);
});

test("a sealed header may use every byte that HTTP allows", () => {
  assert.deepEqual(parseSealedFields('{"x":"na\u00efve\\tvalue "}'), ["x", "na\u00efve\tvalue"]);
});

const REFUSED: readonly [why: string, json: string][] = [
  ["no JSON", "x: 1"],
  ["a list", "[]"],
  ["null", "null"],
  ["a text", '"x: 1"'],
  ["an object as value", '{"x":{}}'],
  ["null as value", '{"x":null}'],
  ["a list in a list", '{"x":[["a"]]}'],
  ["a line end in a value", '{"x":"1\\r\\nevil: 2"}'],
  ["a line feed in a value", '{"x":"1\\nevil: 2"}'],
  ["a zero byte in a value", '{"x":"1\\u0000"}'],
  ["a character beyond latin1", '{"x":"\\u20ac"}'],
  ["a line end in a name", '{"x: 1\\r\\ny":"2"}'],
  ["a blank in a name", '{"x y":"2"}'],
  ["a colon in a name", '{"x:":"2"}'],
  ["an empty name", '{"":"2"}'],
];

for (const [why, json] of REFUSED) {
  test(`refuses sealed headers with ${why}`, () => {
    assert.throws(() => parseSealedFields(json), { code: "REQUEST_INVALID" });
  });
}
