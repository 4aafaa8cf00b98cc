import assert from "node:assert/strict";
import { test } from "node:test";
import { GoogleError } from "./google-error.ts";
import { checkSchema, type Schema } from "./schema-check.ts";

const SCHEMAS: Readonly<Record<string, Schema>> = {
  Thing: {
    id: "Thing",
    type: "object",
    properties: {
      name: { type: "string" },
      diskSizeGb: { type: "string", format: "int64" },
      cpuCount: { type: "integer", format: "int32" },
      share: { type: "number" },
      isOn: { type: "boolean" },
      mode: { type: "string", enum: ["A", "B"] },
      key: { type: "string", format: "byte" },
      createTime: { type: "string", format: "google-datetime" },
      wait: { type: "string", format: "google-duration" },
      labels: { type: "object", additionalProperties: { type: "string" } },
      things: { type: "array", items: { $ref: "Thing" } },
      anything: { type: "any" },
    },
  },
};
const THING = { $ref: "Thing" };

test("what clients send is read as Google reads it", () => {
  const read = (value: unknown): unknown => checkSchema(value, THING, SCHEMAS, "request");
  assert.deepEqual(
    read({
      name: null,
      disk_size_gb: 20,
      cpuCount: "4",
      share: "0.5",
      isOn: "true",
      mode: "",
      things: [null, {}],
    }),
    { diskSizeGb: "20", cpuCount: 4, share: 0.5, isOn: true, mode: "", things: [{}] },
  );
  assert.deepEqual(read({ labels: { a: "b" }, anything: { x: [1] }, key: "aGk=", wait: "1.5s" }), {
    labels: { a: "b" },
    anything: { x: [1] },
    key: "aGk=",
    wait: "1.5s",
  });
});

const WRONG: readonly (readonly [value: unknown, message: RegExp])[] = [
  [[], /Invalid value at '' \(TYPE_MESSAGE Thing\)/],
  ["text", /TYPE_MESSAGE/],
  [{ nam: "x" }, /Unknown name "nam": Cannot find field/],
  [{ things: [{ __proto: 1 }] }, /Unknown name "__proto" at 'things\[0\]'/],
  [{ name: 7 }, /'name' \(TYPE_STRING\), 7/],
  [{ diskSizeGb: "20 GB" }, /TYPE_INT64/],
  [{ diskSizeGb: "9223372036854775808" }, /TYPE_INT64/],
  [{ cpuCount: 1.5 }, /TYPE_INT32/],
  [{ cpuCount: 2_147_483_648 }, /TYPE_INT32/],
  [{ share: "half" }, /TYPE_DOUBLE/],
  [{ isOn: "yes" }, /TYPE_BOOL/],
  [{ mode: "C" }, /TYPE_ENUM/],
  [{ key: "ä" }, /TYPE_BYTES/],
  [{ createTime: "yesterday" }, /Timestamp/],
  [{ wait: "1h" }, /Duration/],
  [{ labels: { a: 1 } }, /'labels.a' \(TYPE_STRING\)/],
  [{ things: {} }, /'things' \(list\)/],
];

for (const [value, message] of WRONG) {
  test(`Google's reader refuses ${JSON.stringify(value)}`, () => {
    assert.throws(
      () => checkSchema(value, THING, SCHEMAS, "request"),
      (error) => error instanceof GoogleError && error.httpStatus === 400 && message.test(error.message),
    );
  });
}

test("answers must be as the document writes them, without the reader's patience", () => {
  for (const answer of [
    { diskSizeGb: 20 },
    { name: null },
    { mode: "" },
    { isOn: "true" },
    { disk_size_gb: "20" },
  ]) {
    assert.throws(() => checkSchema(answer, THING, SCHEMAS, "answer"), GoogleError, JSON.stringify(answer));
  }
  assert.deepEqual(checkSchema({ diskSizeGb: "20", mode: "A" }, THING, SCHEMAS, "answer"), {
    diskSizeGb: "20",
    mode: "A",
  });
});
