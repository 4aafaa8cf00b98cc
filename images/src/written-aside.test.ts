import assert from "node:assert/strict";
import { existsSync, readdirSync, readlinkSync } from "node:fs";
import { mkdtemp, open, readdir, realpath, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { createSmallBase } from "../testing/small-base.ts";
import { writeDockerArchive } from "./docker-archive.ts";
import { writeLayout } from "./layout.ts";
import { writeAside, writeNewFile, writerOfTemporaryFile } from "./written-aside.ts";

const { signal } = new AbortController();

async function makeFolder(context: TestContext): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "polaris-aside-")));
  context.after(() => rm(folder, { recursive: true }));
  return folder;
}

interface Sync {
  /** Of the file or folder that is brought to the disk. */
  readonly path: string;
  /** What is in the folder of the test at that time. */
  readonly names: readonly string[];
}

/** What is brought to the disk from now on, in order. */
async function watchSyncs(context: TestContext, folder: string): Promise<readonly Sync[]> {
  const seen: Sync[] = [];
  await using file = await open(folder);
  const prototype = Object.getPrototypeOf(file) as typeof file;
  context.mock.method(prototype, "sync", async function record(this: typeof file) {
    seen.push({ path: readlinkSync(`/proc/self/fd/${this.fd}`), names: readdirSync(folder) });
    await this.datasync();
  });
  return seen;
}

const linuxOnly = existsSync("/proc/self/fd") ? false : "needs /proc to see which file is meant";

test(
  "a layout is on the disk with all its files and folders before it has its name, then the name",
  { skip: linuxOnly },
  async (context) => {
    const folder = await makeFolder(context);
    const directory = join(folder, "layout");
    const synced = await watchSyncs(context, folder);
    await writeLayout(createSmallBase(), directory, { signal });
    const before = synced.filter(({ names }) => !names.includes("layout")).map(({ path }) => path);
    const [temporary = ""] = /^.*\.tmp/.exec(before[0] ?? "") ?? [];
    const paths = ["", ...(await readdir(directory, { recursive: true }))];
    assert.equal(paths.length, 8);
    assert.deepEqual(before.toSorted(), paths.map((path) => join(temporary, path)).toSorted());
    assert.deepEqual(synced.slice(before.length), [{ path: folder, names: ["layout"] }]);
  },
);

test(
  "a layout that is replaced is there until the name of the new one is on the disk",
  { skip: linuxOnly },
  async (context) => {
    const folder = await makeFolder(context);
    const directory = join(folder, "layout");
    await writeLayout(createSmallBase(), directory, { signal });
    const synced = await watchSyncs(context, folder);
    await writeLayout(createSmallBase({ env: ["OTHER=yes"] }), directory, { signal });
    const [placed] = synced.filter(({ path }) => path === folder);
    assert.deepEqual(
      placed?.names.map((name) => name.replace(/\d.*$/, "")),
      [".layout.", "layout"],
    );
    assert.deepEqual(await readdir(folder), ["layout"]);
  },
);

test(
  "an archive is on the disk before it has its name, then the name",
  { skip: linuxOnly },
  async (context) => {
    const folder = await makeFolder(context);
    const file = join(folder, "image.tar");
    const synced = await watchSyncs(context, folder);
    await writeDockerArchive(createSmallBase(), file, { names: [], signal });
    assert.deepEqual(
      synced.map(({ path, names }) => [
        path.replace(/\.\d+\.[0-9a-f]+\.tmp$/, ""),
        names.includes("image.tar"),
      ]),
      [
        [join(folder, ".image.tar"), false],
        [folder, true],
      ],
    );
  },
);

test("what need not survive a power failure waits for no disk", { skip: linuxOnly }, async (context) => {
  const folder = await makeFolder(context);
  const file = join(folder, "record");
  const synced = await watchSyncs(context, folder);
  const write = (temporary: string): Promise<void> => writeNewFile(temporary, "x", { durable: false });
  await writeAside(file, write, (temporary) => rename(temporary, file), { durable: false });
  assert.ok(existsSync(file));
  const archive = join(folder, "image.tar");
  await writeDockerArchive(createSmallBase(), archive, { names: [], durable: false, signal });
  assert.ok(existsSync(archive));
  assert.deepEqual(synced, []);
});

test("what was written beside is removed if it cannot be put in its place, and names its writer until then", async (context) => {
  const folder = await makeFolder(context);
  const reason = new Error("no");
  const writing = writeAside(
    join(folder, "file"),
    (temporary) => writeNewFile(temporary, "x"),
    async () => {
      const [name = ""] = await readdir(folder);
      assert.equal(writerOfTemporaryFile(name), process.pid);
      throw reason;
    },
  );
  await assert.rejects(writing, reason);
  assert.deepEqual(await readdir(folder), []);
});
