import assert from "node:assert/strict";
import { test } from "node:test";
import { parseLinks } from "./link-header.ts";

const UNDERSTOOD: readonly (readonly [
  string | readonly string[] | undefined,
  readonly (readonly [string, ...string[]])[],
])[] = [
  [undefined, []],
  ["", []],
  ['</a?n=1>; rel="next"', [["/a?n=1", "next"]]],
  ["</a>;rel=next", [["/a", "next"]]],
  ['</a>; title="more; rel=prev, <b>"; REL = "Next"', [["/a", "next"]]],
  ['</a>; title*=UTF-8\'\'m%c3%a9; flag; rel="prev next" ; type="a\\"b";', [["/a", "prev", "next"]]],
  ["</a>; rel=prev; rel=next", [["/a", "prev"]]],
  ["</a>; rel", [["/a"]]],
  [
    "</a,b;c>; rel=first,, </d>;rel=next ,",
    [
      ["/a,b;c", "first"],
      ["/d", "next"],
    ],
  ],
  [
    ["</a>; rel=prev", "</b>; rel=next"],
    [
      ["/a", "prev"],
      ["/b", "next"],
    ],
  ],
  ["<>", [[""]]],
];

for (const [header, links] of UNDERSTOOD) {
  test(`the Link header ${JSON.stringify(header)} is understood`, () => {
    assert.deepEqual(
      parseLinks(header)?.map(({ target, relations }) => [target, ...relations]),
      links,
    );
  });
}

for (const header of [
  "/a; rel=next",
  "</a; rel=next",
  "</a> rel=next",
  '</a>; rel="next',
  "</a>; rel=; title=x",
  "</a>; rel=next </b>",
  "</a>; rel=next, b",
  "</a>; rel=next; =x",
]) {
  test(`the Link header ${JSON.stringify(header)} is not understood`, () => {
    assert.equal(parseLinks(header), undefined);
  });
}
