import assert from "node:assert/strict";
import { test } from "node:test";

import { findCidrProblem } from "./cidr.ts";

test("takes the address ranges that a firewall takes", () => {
  const ranges = [
    "0.0.0.0/0",
    "203.0.113.0/24",
    "10.1.2.3/32",
    "128.0.0.0/1",
    "::/0",
    "2001:db8::/32",
    "2001:db8::1/128",
    "2001:db8:0:0:8000::/65",
    "::ffff:203.0.113.0/120",
  ];
  for (const range of ranges) assert.equal(findCidrProblem(range), undefined, range);
});

test("says what is wrong with everything else", () => {
  const noRange = "expected an address range such as 203.0.113.0/24 or 2001:db8::/32";
  const cases = [
    ["", noRange],
    ["203.0.113.0/24/8", noRange],
    ["203.0.113/24", noRange],
    ["203.0.113.256/32", noRange],
    ["010.0.0.0/8", noRange],
    [" 10.0.0.0/8", noRange],
    ["fe80::1%eth0/64", noRange],
    ["example.org/24", noRange],
    ["203.0.113.7", "expected a range; for one address write 203.0.113.7/32"],
    ["2001:db8::1", "expected a range; for one address write 2001:db8::1/128"],
    ["10.0.0.0/33", "expected a prefix length from 0 to 32 after the slash"],
    ["10.0.0.0/08", "expected a prefix length from 0 to 32 after the slash"],
    ["10.0.0.0/", "expected a prefix length from 0 to 32 after the slash"],
    ["10.0.0.0/-1", "expected a prefix length from 0 to 32 after the slash"],
    ["::/129", "expected a prefix length from 0 to 128 after the slash"],
    ["203.0.113.5/24", "expected the first address of the range, with zeros after the first 24 bits"],
    ["1.0.0.0/0", "expected the first address of the range, with zeros after the first 0 bits"],
    ["2001:db8::1/127", "expected the first address of the range, with zeros after the first 127 bits"],
  ] as const;
  for (const [range, problem] of cases) assert.equal(findCidrProblem(range), problem, range);
});
