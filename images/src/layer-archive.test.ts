import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { extractArchive, listArchive } from "../testing/read-tar.ts";
import { formatFileHead, writeArchive } from "./layer-archive.ts";
import { digestOf } from "./manifest.ts";

const CONTENT = Buffer.from("hello\n");

test("files and their folders are listed by name, as root's, with the one time", async () => {
  const archive = writeArchive(
    [
      { path: "b/deep/file", content: Buffer.alloc(513, "x") },
      { path: "b-side", content: CONTENT },
      { path: "a", content: new Uint8Array() },
    ],
    1_700_000_000,
  );
  assert.equal(archive.length % 512, 0);
  assert.deepEqual(await listArchive(archive), [
    "-rw-r--r-- 0/0 0 2023-11-14 22:13:20 a",
    "-rw-r--r-- 0/0 6 2023-11-14 22:13:20 b-side",
    "drwxr-xr-x 0/0 0 2023-11-14 22:13:20 b/",
    "drwxr-xr-x 0/0 0 2023-11-14 22:13:20 b/deep/",
    "-rw-r--r-- 0/0 513 2023-11-14 22:13:20 b/deep/file",
  ]);
});

test("the order in which the files are given does not matter, and the bytes never change", () => {
  const one = { path: "x/one", content: CONTENT };
  const two = { path: "x/two", content: CONTENT };
  const archive = writeArchive([one, two], 0);
  assert.deepEqual(writeArchive([two, one], 0), archive);
  // Whoever changes this changes the digest of every image that was ever built.
  assert.equal(digestOf(archive), "sha256:34f3f65c128f0f088d4a302e83b1794b4578f11fab88fc461fe74837fc865116");
});

test("what the system's tar takes out is what went in", async () => {
  const folder = await mkdtemp(join(tmpdir(), "polaris-archive-"));
  try {
    for (const byteCount of [0, 1, 511, 512, 513, 10_240]) {
      const content = Buffer.alloc(byteCount, "y");
      await extractArchive(writeArchive([{ path: "sub/file", content }], 0), folder);
      assert.deepEqual(await readFile(join(folder, "sub/file")), content);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("what the form cannot hold is refused", () => {
  const paths = [
    "",
    "/absolute",
    "a//b",
    "../up",
    "a/./b",
    "a/..",
    "spa ce",
    "umläut",
    "nul\0",
    "x".repeat(101),
    "a/",
  ];
  for (const path of paths) {
    assert.throws(() => writeArchive([{ path, content: CONTENT }], 0), RangeError, JSON.stringify(path));
  }
  const twice = { path: "twice", content: CONTENT };
  assert.throws(() => writeArchive([twice, twice], 0), /twice is in the archive twice/);
  assert.throws(() => writeArchive([twice, { path: "twice/inside", content: CONTENT }], 0), RangeError);
  for (const time of [-1, 0.5, Number.NaN, 0o77777777777 + 1]) {
    assert.throws(() => writeArchive([{ path: "file", content: CONTENT }], time), RangeError, String(time));
  }
  assert.throws(() => formatFileHead("file", 0o77777777777 + 1, 0), RangeError);
  assert.equal(writeArchive([{ path: "x".repeat(100), content: CONTENT }], 0o77777777777).length, 2048);
});
