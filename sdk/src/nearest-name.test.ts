import assert from "node:assert/strict";
import { test } from "node:test";

import * as fc from "fast-check";

import { editDistance, nearestName } from "./nearest-name.ts";

const KEYS = [
  "workload",
  "proxy",
  "key",
  "attestation",
  "trust",
  "targets",
  "target",
  "health",
  "encryption",
];

test("names the known key that somebody most likely meant", () => {
  const cases = [
    ["workloud", "workload"],
    ["Proxy", "proxy"],
    ["porxy", "proxy"],
    ["healthcheck", "health"],
    ["encrypt", "encryption"],
    ["atestation", "attestation"],
    ["kye", "key"],
  ] as const;
  for (const [given, expected] of cases) assert.equal(nearestName(given, KEYS), expected, given);
});

test("names no key for a word that is like none of them", () => {
  for (const given of ["services", "x", "regions", ""])
    assert.equal(nearestName(given, KEYS), undefined, given);
  assert.equal(nearestName("key", []), undefined);
});

test("counts inserted, removed, changed and swapped letters", () => {
  assert.equal(editDistance("", "abc"), 3);
  assert.equal(editDistance("abc", ""), 3);
  assert.equal(editDistance("abc", "abc"), 0);
  assert.equal(editDistance("abc", "acb"), 1);
  assert.equal(editDistance("kitten", "sitting"), 3);
});

test("is a symmetric distance that is zero for equal words only", () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 8 });
  fc.assert(
    fc.property(word, word, (a, b) => {
      assert.equal(editDistance(a, b), editDistance(b, a));
      assert.equal(editDistance(a, b) === 0, a === b);
      assert.ok(editDistance(a, b) <= Math.max(a.length, b.length));
    }),
  );
});
