import assert from "node:assert/strict";
import { test } from "node:test";
import { parseChallenges } from "./challenge.ts";

const HEADERS: readonly (readonly [string | readonly string[] | undefined, readonly unknown[]])[] = [
  [undefined, []],
  ["", []],
  [",,", []],
  ['Basic realm="x"', [["basic", { realm: "x" }]]],
  ["Negotiate", [["negotiate", {}]]],
  [
    'Bearer realm="https://a/token",service="b",scope="repository:c/d:pull,push"',
    [["bearer", { realm: "https://a/token", service: "b", scope: "repository:c/d:pull,push" }]],
  ],
  [
    'BEARER Realm = "a" ,  SERVICE=b , scope="c \\"d\\""',
    [["bearer", { realm: "a", service: "b", scope: 'c "d"' }]],
  ],
  [
    'Basic realm="x, y", Bearer realm="z"',
    [
      ["basic", { realm: "x, y" }],
      ["bearer", { realm: "z" }],
    ],
  ],
  [
    ["Negotiate", 'Basic realm="x"'],
    [
      ["negotiate", {}],
      ["basic", { realm: "x" }],
    ],
  ],
  ['Bearer realm="not closed', [["bearer", {}]]],
];

test("a WWW-Authenticate header is read as RFC 9110 has it", () => {
  for (const [header, expected] of HEADERS) {
    const challenges = parseChallenges(header).map(({ scheme, parameters }) => [
      scheme,
      Object.fromEntries(parameters),
    ]);
    assert.deepEqual(challenges.slice(0, expected.length), expected, String(header));
  }
});

test("a long header without sense is read in no time", () => {
  for (const piece of ["a ", "a=", '"', "a,", ' a="', "\\", " "]) {
    const startMs = performance.now();
    parseChallenges(`Bearer ${piece.repeat(16_384 / piece.length)}`);
    assert.ok(performance.now() - startMs < 1000, piece);
  }
});
