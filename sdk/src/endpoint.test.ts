import assert from "node:assert/strict";
import { test } from "node:test";
import { endpointUnreachable, parseEndpoint } from "./endpoint.ts";

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

test("says what to do about an endpoint that cannot be reached, by the reason", () => {
  const cases: [code: string, hint: RegExp][] = [
    ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", /authority.*NODE_EXTRA_CA_CERTS/],
    ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", /NODE_EXTRA_CA_CERTS/],
    ["SELF_SIGNED_CERT_IN_CHAIN", /NODE_EXTRA_CA_CERTS/],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", /NODE_EXTRA_CA_CERTS/],
    ["CERT_UNTRUSTED", /NODE_EXTRA_CA_CERTS/],
    ["CERT_HAS_EXPIRED", /not valid now: check the clock/],
    ["CERT_NOT_YET_VALID", /not valid now: check the clock/],
    ["ERR_TLS_CERT_ALTNAME_INVALID", /for another name/],
    ["CERT_REVOKED", /not accepted/],
    ["ECONNREFUSED", /^check the URL/],
  ];
  for (const [code, hint] of cases) {
    const cause = new TypeError("fetch failed", { cause: Object.assign(new Error("planted"), { code }) });
    const error = endpointUnreachable(new URL("https://host.example/path"), cause);
    assert.deepEqual(
      [error.code, error.message],
      ["ENDPOINT_UNREACHABLE", `cannot reach https://host.example (${code})`],
    );
    assert.match(error.hint ?? "", hint, code);
  }
  const { message, hint } = endpointUnreachable(new URL("https://host.example"), new Error("planted"));
  assert.equal(message, "cannot reach https://host.example");
  assert.match(hint ?? "", /^check the URL/);
});
