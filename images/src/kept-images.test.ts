import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import {
  chmod,
  chown,
  lstat,
  mkdir,
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
import { openKeptImages } from "./kept-images.ts";
import type { KeptImages } from "./kept-images.ts";
import { digestOf } from "./manifest.ts";

const DOCUMENT = Buffer.from('{"schemaVersion":2}');
const DIGEST = digestOf(DOCUMENT);
const NAME = DIGEST.slice("sha256:".length);

async function createFolder(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-kept-"));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function keepOne(folder: string): Promise<KeptImages> {
  const kept = openKeptImages(folder);
  await kept.keep(DIGEST, DOCUMENT);
  return kept;
}

/** As it is called in the folder. */
const nameOf = (count: number): string => digestOf(Buffer.from(`${count}`)).slice("sha256:".length);

async function makeOld(path: string, seconds: number): Promise<void> {
  await writeFile(path, "");
  await utimes(path, seconds, seconds);
}

test("what is kept is found by its digest, and nobody else may read it", async (context) => {
  const folder = await createFolder(context);
  const kept = await keepOne(folder);
  assert.deepEqual(await kept.find(DIGEST), DOCUMENT);
  assert.equal(await kept.find(digestOf(Buffer.from("another"))), undefined);
  assert.deepEqual(await readdir(folder), [NAME]);
  assert.equal((await stat(join(folder, NAME))).mode & 0o777, 0o600);
});

test("whatever else is under the name of a document counts as not there, and is put right", async (context) => {
  const folder = await createFolder(context);
  const kept = await keepOne(folder);
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
  for (const [name, damage] of Object.entries(damages)) {
    await damage(join(folder, NAME));
    assert.equal(await kept.find(DIGEST), undefined, name);
    await kept.keep(DIGEST, DOCUMENT);
    assert.deepEqual(await kept.find(DIGEST), DOCUMENT, name);
  }
});

test("a folder that takes nothing, or is not there, keeps nobody from going on", async (context) => {
  const folder = await createFolder(context);
  await writeFile(join(folder, "file"), "");
  await chmod(folder, 0o500);
  for (const place of [join(folder, "file"), join(folder, "none"), "/proc/polaris"]) {
    assert.equal(await (await keepOne(place)).find(DIGEST), undefined);
  }
});

test("a folder that is a link, somebody else's, or open to others is left alone", async (context) => {
  const folder = await createFolder(context);
  const real = join(folder, "real");
  await mkdir(real, { mode: 0o700 });
  await keepOne(real);
  const link = join(folder, "link");
  await symlink(real, link);
  const assertLeftAlone = async (place: string): Promise<void> => {
    const kept = openKeptImages(place);
    assert.equal(await kept.find(DIGEST), undefined);
    const other = Buffer.from("{}");
    await kept.keep(digestOf(other), other);
    assert.deepEqual(await readdir(real), [NAME]);
  };
  await assertLeftAlone(link);
  for (const mode of [0o770, 0o702, 0o1777]) {
    await chmod(real, mode);
    await assertLeftAlone(real);
  }
  await chmod(real, 0o755);
  assert.deepEqual(await openKeptImages(real).find(DIGEST), DOCUMENT);
  if (process.getuid?.() !== 0) return;
  await chown(real, 65_532, 65_532);
  await assertLeftAlone(real);
});

test("there are never more than 256 documents: the oldest go, and what a killed process has left", async (context) => {
  const folder = await createFolder(context);
  for (let count = 0; count < 260; count += 1) await makeOld(join(folder, nameOf(count)), 1000 + count);
  const left = `.${nameOf(7)}.4242.0123456789ab.tmp`;
  await makeOld(join(folder, left), 1);
  const kept = await keepOne(folder);
  const names = await readdir(folder);
  assert.equal(names.length, 256);
  assert.ok(!names.includes(left) && !names.includes(nameOf(4)) && names.includes(nameOf(5)));
  assert.deepEqual(await kept.find(DIGEST), DOCUMENT);
});

test("what has no name of ours stays, however old it is, and counts for nothing", async (context) => {
  const folder = await createFolder(context);
  const strangers = [
    "thesis.txt",
    ".thesis.txt.1.0123456789ab.tmp",
    nameOf(0).toUpperCase(),
    `${nameOf(0)}x`,
  ];
  for (const name of strangers) await makeOld(join(folder, name), 1);
  for (let count = 0; count < 255; count += 1) await makeOld(join(folder, nameOf(count)), 1000 + count);
  await keepOne(folder);
  assert.equal((await readdir(folder)).length, 256 + strangers.length);
  const another = Buffer.from("{}");
  await openKeptImages(folder).keep(digestOf(another), another);
  const names = await readdir(folder);
  assert.equal(names.length, 256 + strangers.length);
  assert.ok(strangers.every((name) => names.includes(name)));
  assert.ok(!names.includes(nameOf(0)));
});

test("an entry that cannot be looked at or removed does not switch the limit off", async (context) => {
  const folder = await createFolder(context);
  const outside = join(await createFolder(context), "outside");
  await makeOld(outside, 1);
  for (let count = 0; count < 260; count += 1) await makeOld(join(folder, nameOf(count)), 1000 + count);
  const [dangling, link, directory] = [nameOf(300), nameOf(301), nameOf(302)];
  await symlink("/nonexistent", join(folder, dangling));
  await symlink(outside, join(folder, link));
  await mkdir(join(folder, directory));
  await utimes(join(folder, directory), 1, 1);
  await keepOne(folder);
  const names = await readdir(folder);
  // 264 with the new one: 8 were to go, and the folder did not. The links are new, whatever they lead to.
  assert.equal(names.length, 257);
  assert.ok([dangling, link, directory, nameOf(7)].every((name) => names.includes(name)));
  assert.ok(!names.includes(nameOf(6)));
  assert.ok((await lstat(join(folder, link))).isSymbolicLink());
});

test("an unusually long document is not kept", async (context) => {
  const folder = await createFolder(context);
  const long = Buffer.alloc(300_000, "x");
  await openKeptImages(folder).keep(digestOf(long), long);
  assert.deepEqual(await readdir(folder), []);
});
