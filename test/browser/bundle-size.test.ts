import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { bundleForBrowsers } from "./bundle.ts";

const KIB = 1024;

function gzippedBytes(code: Uint8Array): number {
  return gzipSync(code, { level: 9 }).length;
}

test("a page needs at most 25 KiB for the SDK, compressed", async (t) => {
  const client = await bundleForBrowsers('export { createClient } from "@polaris-cvm/sdk";');
  const everything = await bundleForBrowsers('export * from "@polaris-cvm/sdk";');
  const sizes = [client, everything].map(({ code }) => gzippedBytes(code));
  t.diagnostic(`createClient ${sizes[0]} bytes, everything ${sizes[1]} bytes`);
  assert.ok(sizes.every((bytes) => bytes > 5 * KIB && bytes <= 25 * KIB));
});

test("a bundle for browsers holds the SDK and jose, and asks for nothing else", async () => {
  const { code, metafile } = await bundleForBrowsers(
    'export * from "@polaris-cvm/sdk"; export * from "@polaris-cvm/sdk/axios";',
  );
  const inputs = Object.keys(metafile.inputs).filter((path) => path !== "<stdin>");
  assert.deepEqual(
    inputs.filter(
      (path) => !/^(sdk\/src|node_modules\/jose)\//.test(path) || path.startsWith("sdk/src/node/"),
    ),
    [],
  );
  assert.ok(inputs.includes("sdk/src/client.ts"));
  assert.ok(inputs.includes("sdk/src/no-pinned-transport.ts"));
  assert.deepEqual(
    Object.values(metafile.outputs).flatMap((output) => output.imports),
    [],
  );
  assert.doesNotMatch(new TextDecoder().decode(code), /\bnode:|\brequire\(|\bBuffer\b|\bprocess\b/);
});
