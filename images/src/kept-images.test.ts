import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import {
  chmod,
  mkdtemp,
  readdir,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { collect } from "../testing/blob-bytes.ts";
import { createSmallBase } from "../testing/small-base.ts";
import type { Image } from "./image.ts";
import { openKeptImages } from "./kept-images.ts";
import type { KeptImages } from "./kept-images.ts";

const { signal } = new AbortController();

const noLayer: Image["openBlob"] = () => assert.fail("a layer was opened");

async function createFolder(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-kept-"));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function keepOne(folder: string): Promise<{ readonly image: Image; readonly kept: KeptImages }> {
  const image = createSmallBase();
  const kept = openKeptImages(folder);
  await kept.keep(image, signal);
  return { image, kept };
}

test("what is kept is the image again, with its layers from where they are", async (context) => {
  const folder = await createFolder(context);
  const { image, kept } = await keepOne(folder);
  const found = await kept.find(image.manifest, image.openBlob);
  assert.ok(found !== undefined);
  assert.deepEqual(
    { ...found, manifest: { ...found.manifest, bytes: Buffer.from(found.manifest.bytes) }, openBlob: 0 },
    { ...image, manifest: { ...image.manifest, bytes: Buffer.from(image.manifest.bytes) }, openBlob: 0 },
  );
  for (const blob of [image.config, ...image.layers]) {
    assert.deepEqual(Buffer.from(await collect(found, blob)), Buffer.from(await collect(image, blob)));
  }
  assert.equal((await readdir(folder)).length, 2);
  for (const name of await readdir(folder))
    assert.equal((await stat(join(folder, name))).mode & 0o777, 0o600);
});

test("whatever else is under the name of a document counts as not there, and is put right", async (context) => {
  const folder = await createFolder(context);
  const { image, kept } = await keepOne(folder);
  const damages: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
    gone: (path) => rm(path),
    "cut off": (path) => truncate(path, 10),
    emptied: (path) => truncate(path, 0),
    "other bytes of the same length": async (path) => writeFile(path, "x".repeat((await stat(path)).size)),
    "too long": (path) => truncate(path, 1024 * 1024 * 1024),
    "a link": async (path) => {
      await rename(path, join(folder, "elsewhere"));
      await symlink(join(folder, "elsewhere"), path);
    },
    "a pipe": async (path) => {
      await rm(path);
      await promisify(execFile)("mkfifo", [path]);
    },
  };
  for (const digest of [image.manifest.digest, image.config.digest]) {
    for (const [name, damage] of Object.entries(damages)) {
      await damage(join(folder, digest.slice("sha256:".length)));
      assert.equal(await kept.find(image.manifest, noLayer), undefined, name);
      await kept.keep(image, signal);
      assert.ok((await kept.find(image.manifest, noLayer)) !== undefined, name);
    }
  }
});

test("a folder that takes nothing, or is not there, keeps nobody from going on", async (context) => {
  const folder = await createFolder(context);
  await writeFile(join(folder, "file"), "");
  await chmod(folder, 0o500);
  for (const place of [join(folder, "file"), join(folder, "none"), "/proc/polaris"]) {
    const { image, kept } = await keepOne(place);
    assert.equal(await kept.find(image.manifest, noLayer), undefined);
  }
});

test("there are never more than 64 documents: the oldest go", async (context) => {
  const folder = await createFolder(context);
  for (let count = 0; count < 70; count += 1) {
    const path = join(folder, `old-${count}`);
    await writeFile(path, "");
    await utimes(path, 1000 + count, 1000 + count);
  }
  const { image, kept } = await keepOne(folder);
  const names = await readdir(folder);
  assert.equal(names.length, 64);
  assert.ok(!names.includes("old-7") && names.includes("old-8"));
  assert.ok((await kept.find(image.manifest, noLayer)) !== undefined);
});

test("an image with an unusually long configuration is not kept", async (context) => {
  const folder = await createFolder(context);
  await openKeptImages(folder).keep(createSmallBase({ env: [`A=${"x".repeat(300_000)}`] }), signal);
  assert.deepEqual(await readdir(folder), []);
});
