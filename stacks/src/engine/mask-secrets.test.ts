import assert from "node:assert/strict";
import { test } from "node:test";
import { createMask, listSecretValues } from "./mask-secrets.ts";

test("a secret is taken out however it is spelt", () => {
  const mask = createMask(['pa"ss/word\n', "second-secret", "second-secret-longer", "", "short"]);
  assert.equal(mask('say pa"ss/word'), "say [secret]");
  assert.equal(mask(JSON.stringify({ key: 'pa"ss/word' })), '{"key":"[secret]"}');
  assert.equal(mask("?p=pa%22ss%2Fword&x=1"), "?p=[secret]&x=1");
  assert.equal(mask("second-secret-longer second-secret"), "[secret] [secret]");
  assert.equal(mask("a short word"), "a short word");
});

test("each line of a secret of many lines is one", () => {
  const mask = createMask(["first-line-of-it\nsecond-line-of-it\n"]);
  assert.equal(mask("first-line-of-it"), "[secret]");
  assert.equal(mask("… second-line-of-it …"), "… [secret] …");
});

test("what looks like a secret is taken out, although nobody has told of it", () => {
  const mask = createMask([]);
  for (const [text, masked] of [
    ["Bearer abcdefghijklmnop", "Bearer [secret]"],
    ["token ya29.a0AbVbY6P-xyz_1234567890 expired", "token [secret] expired"],
    ["jwt eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl.", "jwt [secret]."],
    ["at https://me:hunter22@host/x", "at https://me:[secret]@host/x"],
    ["-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nrest", "[secret]\nrest"],
    ["pul-0123456789abcdef0123456789abcdef01234567", "[secret]"],
    ["a sentence: with a colon @ home", "a sentence: with a colon @ home"],
  ] as const) {
    assert.equal(mask(text), masked);
  }
});

test("variables whose names say so hold secrets", () => {
  assert.deepEqual(
    listSecretValues({
      PATH: "/bin",
      GOOGLE_OAUTH_ACCESS_TOKEN: "a",
      AWS_SECRET_ACCESS_KEY: "b",
      PULUMI_ACCESS_TOKEN: "c",
      ARM_CLIENT_SECRET: "d",
      HTTPS_PROXY: undefined,
      GITHUB_TOKEN: undefined,
    }),
    ["a", "b", "c", "d"],
  );
});
