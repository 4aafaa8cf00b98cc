import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEndpoint } from "./endpoint.ts";

test("takes http and https URLs, as text or parsed", () => {
  for (const url of ["http://127.0.0.1:3000/", "https://[::1]/app?x=1#y", "https://host.example/"]) {
    assert.equal(parseEndpoint(url).href, url);
    assert.equal(parseEndpoint(new URL(url)).href, url);
  }
});

test("refuses every other URL and repeats nothing of it", () => {
  const cases: [url: string, problem: string][] = [
    ["", "is not a URL"],
    ["planted.example:x", "is neither http nor https"],
    ["/planted", "is not a URL"],
    ["http://planted:planted@", "is not a URL"],
    ["ftp://planted.example", "is neither http nor https"],
    ["file:///planted", "is neither http nor https"],
    ["planted:secret@host", "is neither http nor https"],
    ["https://planted:planted@host", "has a user name or a password in it"],
    ["https://planted@host", "has a user name or a password in it"],
    ["https://:planted@host", "has a user name or a password in it"],
  ];
  for (const [url, problem] of cases) {
    const expected = {
      code: "USAGE_INVALID",
      message: `URL of the endpoint ${problem}`,
      details: undefined,
    };
    assert.throws(() => parseEndpoint(url), expected, url);
  }
  assert.throws(() => parseEndpoint(new URL("https://planted:planted@host")), { code: "USAGE_INVALID" });
});
