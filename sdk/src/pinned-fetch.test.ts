import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { build } from "esbuild";
import { chooseFetch, createPinnedFetch, readConnectionKey } from "./pinned-fetch.ts";
import type * as Sdk from "./index.ts";
import { createAttester } from "./testing/attester.ts";

const HTTPS = new URL("https://endpoint.example");
const HTTP = new URL("http://endpoint.example");
const KEY = `sha256:${"0d".repeat(32)}`;

const plain: typeof fetch = () => Promise.reject(new Error("not asked for"));
const telling = Object.assign((...args: Parameters<typeof fetch>) => plain(...args), {
  tlsPublicKeySha256: () => KEY,
});

test("leaves the choice to the caller where no TLS key is to be attested, or there is no TLS", async () => {
  for (const [endpoint, tls] of [
    [HTTPS, "unbound"],
    [HTTP, "unbound"],
    [HTTP, "attested"],
  ] as const) {
    assert.equal(await chooseFetch(endpoint, tls, plain), plain);
    assert.equal(await chooseFetch(endpoint, tls, undefined), globalThis.fetch);
  }
});

test("takes a fetch that tells the key, makes one where none is given, and refuses all else", async () => {
  assert.equal(await chooseFetch(HTTPS, "attested", telling), telling);
  const made = await chooseFetch(HTTPS, "attested", undefined);
  assert.deepEqual(readConnectionKey(HTTPS, made), { unknown: "fetch did not tell it" });
  assert.notEqual(await chooseFetch(HTTPS, "attested", undefined), made);
  for (const tls of ["attested", undefined] as const) {
    await assert.rejects(chooseFetch(HTTPS, tls as "attested", plain), {
      code: "EXPECTATIONS_MISSING",
      hint: "leave fetch out, or give one of createPinnedFetch()",
    });
  }
});

test("knows a connection's key only of an https endpoint and a fetch that tells it", () => {
  assert.deepEqual(readConnectionKey(HTTPS, telling), { sha256: KEY });
  assert.deepEqual(readConnectionKey(HTTPS, plain), { unknown: "fetch did not tell it" });
  assert.deepEqual(readConnectionKey(HTTP, telling), { unknown: "the endpoint is http" });
});

test("makes a fetch without a key so far, another one each time", async () => {
  const [first, second] = await Promise.all([createPinnedFetch(), createPinnedFetch()]);
  assert.notEqual(first, second);
  assert.equal(first.tlsPublicKeySha256(), undefined);
});

test("says in a bundle for browsers that the key cannot be seen there, and asks nobody", async () => {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("index.ts", import.meta.url))],
    bundle: true,
    write: false,
    format: "esm",
    platform: "browser",
  });
  const bundle = outputFiles[0]!.text;
  assert.doesNotMatch(bundle, /node:|rejectUnauthorized/);
  const sdk = (await import(
    `data:text/javascript;base64,${Buffer.from(bundle).toString("base64")}`
  )) as typeof Sdk;

  const refusal = {
    code: "EXPECTATIONS_MISSING",
    message:
      "the TLS key of the endpoint has to be the attested one, and a browser does not show programs which it is",
  };
  const attester = await createAttester();
  const expect = { ...attester.expectations(), tls: "attested" } as const;
  const url = "https://127.0.0.1:1";
  await assert.rejects(sdk.verifyAttestation({ url, expectations: expect }), refusal);
  await assert.rejects(sdk.createClient({ url, expect }).fetch("/"), refusal);
  await assert.rejects(sdk.createPinnedFetch(), refusal);
  await assert.rejects(sdk.createClient({ url, expect: { ...expect, tls: "unbound" } }).fetch("/"), {
    code: "ENDPOINT_UNREACHABLE",
  });
});
