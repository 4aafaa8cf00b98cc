import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { createAccessTokens } from "./access-token.ts";

const secret = randomBytes(32);
const subject = {
  principal: "principal://a",
  memberships: ["principal://a", "principalSet://a/*"],
  pool: "pool-a",
};
const at = (
  nowMs: number,
  options: { secret?: Uint8Array; pools?: string[] } = {},
): ReturnType<typeof createAccessTokens> =>
  createAccessTokens({
    secret: options.secret ?? secret,
    now: () => nowMs,
    isPoolUsable: (pool) => (options.pools ?? ["pool-a"]).includes(pool),
  });

test("a token speaks for its subject until it expires, also after a restart with the same secret", () => {
  const token = at(1_000_000).issue(subject, 60);
  assert.deepEqual(at(1_059_999).verify(token), {
    valid: true,
    caller: { principal: subject.principal, memberships: subject.memberships, projectRoles: [] },
  });
  assert.deepEqual(at(1_060_000).verify(token), { valid: false, reason: "expired" });
});

test("a token of another secret, of a pool that is gone, or changed in any place is invalid", () => {
  const token = at(0).issue(subject, 60);
  const invalid = { valid: false, reason: "invalid" };
  assert.deepEqual(at(0, { secret: randomBytes(32) }).verify(token), invalid);
  assert.deepEqual(at(0, { pools: [] }).verify(token), invalid);
  for (let place = 0; place < token.length; place++) {
    const changed = `${token.slice(0, place)}${token[place] === "A" ? "B" : "A"}${token.slice(place + 1)}`;
    assert.deepEqual(at(0).verify(changed), invalid, `place ${place}`);
  }
  for (const other of [
    "",
    ".",
    "..",
    `${token}.`,
    `${token}=`,
    token.slice(0, -1),
    "polaris-access",
    "polaris-access..",
  ]) {
    assert.deepEqual(at(0).verify(other), invalid, other);
  }
});
