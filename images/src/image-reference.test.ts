import assert from "node:assert/strict";
import { test } from "node:test";
import { isPolarisError } from "@polaris-cvm/sdk/errors";
import { formatImageReference, parseImageReference } from "./image-reference.ts";

const DIGEST = `sha256:${"ab".repeat(32)}`;

const REFERENCES: readonly (readonly [string, string])[] = [
  ["node", "docker.io/library/node:latest"],
  ["node:26-slim", "docker.io/library/node:26-slim"],
  ["docker.io/node", "docker.io/library/node:latest"],
  ["index.docker.io/library/node:1", "docker.io/library/node:1"],
  ["user/app", "docker.io/user/app:latest"],
  [`node@${DIGEST}`, `docker.io/library/node@${DIGEST}`],
  [`node:26@${DIGEST}`, `docker.io/library/node:26@${DIGEST}`],
  ["ghcr.io/a/b/c:v1.2_3-x", "ghcr.io/a/b/c:v1.2_3-x"],
  ["localhost/app", "localhost/app:latest"],
  ["localhost:5000/app:1", "localhost:5000/app:1"],
  ["registry:5000/app", "registry:5000/app:latest"],
  ["127.0.0.1:5000/a__b/c--d.e", "127.0.0.1:5000/a__b/c--d.e:latest"],
  ["[::1]:5000/app:1", "[::1]:5000/app:1"],
  ["GHCR.io/app", "ghcr.io/app:latest"],
  ["europe-west4-docker.pkg.dev/p-1/r/i", "europe-west4-docker.pkg.dev/p-1/r/i:latest"],
];

test("a reference is read as Docker reads it, and its canonical text gives the same again", () => {
  for (const [text, canonical] of REFERENCES) {
    const reference = parseImageReference(text);
    assert.equal(formatImageReference(reference), canonical, text);
    assert.deepEqual(parseImageReference(canonical), reference);
  }
});

test("the parts of a reference are kept apart", () => {
  assert.deepEqual(parseImageReference(`localhost:5000/a/b:c@${DIGEST}`), {
    registry: "localhost:5000",
    repository: "a/b",
    tag: "c",
    digest: DIGEST,
  });
  assert.equal(parseImageReference(`a@${DIGEST}`).tag, undefined);
});

const INVALID: readonly string[] = [
  "",
  "/",
  " node",
  "node ",
  "Node",
  "user/App",
  "node:",
  "node:-x",
  `node:${"x".repeat(129)}`,
  "node@",
  "node@sha256:",
  `node@sha256:${"AB".repeat(32)}`,
  `node@sha512:${"ab".repeat(64)}`,
  `node@${DIGEST}@${DIGEST}`,
  "a//b",
  "/a",
  "a/",
  "a/../b",
  "ghcr.io/",
  "ghcr.io/a?b",
  "ghcr.io/a#b",
  "ghcr.io/a%2fb",
  "ghcr.io:99999/a",
  "ghcr.io:x/a",
  "-a.io/b",
  "a..io/b",
  "[::::]/a",
  "[::1/a",
  "https://ghcr.io/a",
  "a\u0000b",
  "ghcr.io/\u00e4",
  `ghcr.io/${"a/".repeat(127)}a`,
  "x".repeat(100_000),
];

test("what is no reference is refused with its form in the hint", () => {
  for (const text of INVALID) {
    assert.throws(
      () => parseImageReference(text),
      (error) => {
        assert.ok(isPolarisError(error), text);
        assert.equal(error.code, "IMAGE_REFERENCE_INVALID", text);
        assert.match(error.hint ?? "", /^expected /);
        assert.ok(error.message.length < 700);
        return true;
      },
    );
  }
});

test("a password in what should be a reference is not repeated", () => {
  for (const text of ["https://user:pl4nted@ghcr.io/a", "user:pl4nted@ghcr.io/a", `u:pl4nted@${DIGEST}@x`]) {
    assert.throws(
      () => parseImageReference(text),
      (error) => error instanceof Error && !error.message.includes("pl4nted"),
    );
  }
});
