import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import type { PrintedBuild } from "../testing/print-build.ts";
import { copySources } from "../testing/source-copy.ts";
import { bundleProxy } from "./proxy-bundle.ts";

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, "../..");
const MEBIBYTE = 1024 * 1024;

/** Builds the image of the sources in a folder, as another user of the machine might. */
async function build(
  folder: string,
  umask = "022",
  environment: Record<string, string> = {},
): Promise<PrintedBuild> {
  const program = join(folder, "images/testing/print-build.ts");
  const { stdout } = await run("sh", ["-c", `umask ${umask} && exec "$0" "$1"`, process.execPath, program], {
    cwd: "/",
    env: environment,
  });
  return JSON.parse(stdout) as PrintedBuild;
}

test("two builds from other folders, layouts of packages, umasks and time zones are one image", async () => {
  await using copy = await copySources();
  const here = await build(ROOT, "022", { TZ: "UTC", NODE_ENV: "development" });
  const there = await build(copy.folder, "077", {
    TZ: "Asia/Tokyo",
    LANG: "tr_TR.UTF-8",
    NODE_ENV: "production",
  });
  assert.equal(there.digest, here.digest);
  assert.equal(there.sbomDigest, here.sbomDigest);
  assert.ok(here.peakBytes > 50 * MEBIBYTE && here.peakBytes <= 300 * MEBIBYTE, `${here.peakBytes} bytes`);
});

test("another line in a source is another image, and its source is named where the manifest names it", async () => {
  await using copy = await copySources();
  const before = await build(copy.folder);
  assert.equal(before.labels["org.opencontainers.image.source"], undefined);

  const manifest = join(copy.folder, "proxy/package.json");
  const content = JSON.parse(await readFile(manifest, "utf8")) as object;
  const repository = { type: "git", url: "https://git.example/polaris" };
  await writeFile(manifest, JSON.stringify({ ...content, repository }));
  const after = await build(copy.folder);
  assert.equal(after.labels["org.opencontainers.image.source"], "https://git.example/polaris");
  assert.notEqual(after.digest, before.digest);
});

test("what has no business in the proxy does not get in", async () => {
  await using copy = await copySources();
  const main = join(copy.folder, "proxy/src/main.ts");
  const original = await readFile(main, "utf8");
  const planted = join(copy.folder, "node_modules/planted");
  await mkdir(planted);
  await writeFile(
    join(planted, "package.json"),
    '{"name":"planted","version":"1.0.0","license":"MIT","main":"main.js"}',
  );
  await writeFile(join(planted, "main.js"), "console.log('planted');\n");
  await writeFile(join(copy.folder, "proxy/src/planted.test.ts"), "console.log('planted');\n");

  const imports: [specifier: string, expected: RegExp][] = [
    ["planted", /IMAGE_BUILD_FAILED.*planted has no business in the proxy/s],
    [
      "../../images/src/manifest.ts",
      /IMAGE_BUILD_FAILED.*@polaris-cvm\/images has no business in the proxy/s,
    ],
    [
      "./planted.test.ts",
      /IMAGE_BUILD_FAILED.*a test has got into the proxy: @polaris-cvm\/proxy\/src\/planted\.test\.ts/s,
    ],
    [
      "absent",
      /cannot bundle the proxy: package:@polaris-cvm\/proxy\/src\/main\.ts:1: Could not resolve "absent"/,
    ],
  ];
  for (const [specifier, expected] of imports) {
    await writeFile(main, `import "${specifier}";\n${original}`);
    await assert.rejects(build(copy.folder), expected, specifier);
  }
});

test("a package in two versions, or without its licence, is refused; two copies of one version are one", async () => {
  await using copy = await copySources();
  const before = await build(copy.folder);
  const second = join(copy.folder, "proxy/src/keys/node_modules/undici");
  await cp(join(copy.folder, "proxy/node_modules/undici"), second, { recursive: true });
  assert.equal((await build(copy.folder)).digest, before.digest);
  const manifest = JSON.parse(await readFile(join(second, "package.json"), "utf8")) as { version: string };
  await writeFile(join(second, "package.json"), JSON.stringify({ ...manifest, version: "8.0.0" }));
  await assert.rejects(
    build(copy.folder),
    /IMAGE_BUILD_FAILED.*undici is there in two versions: 8\.0\.0 and 8/s,
  );
  await rm(second, { recursive: true });

  await rm(join(copy.folder, "proxy/node_modules/undici/LICENSE"));
  await assert.rejects(build(copy.folder), /IMAGE_BUILD_FAILED.*undici \S+ comes without a licence/s);
});

test("the bundle says what it is made of, with licences, and nothing of where it was made", async () => {
  const { code, packages } = await bundleProxy();
  assert.deepEqual(
    packages.map(({ name }) => name),
    [
      "@opentelemetry/api",
      "@polaris-cvm/proxy",
      "@polaris-cvm/sdk",
      "bintrees",
      "jose",
      "prom-client",
      "tdigest",
      "undici",
      "zod",
    ],
  );
  const [first] = packages;
  assert.match(first?.licenseText ?? "", /^Apache License|^\s*Apache License/m);
  assert.ok(!Buffer.from(code).includes(ROOT), "the folder is in the bundle");
});
