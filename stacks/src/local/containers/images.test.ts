import assert from "node:assert/strict";
import { chmod, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createSmallBase } from "../../../../images/testing/small-base.ts";
import { loadImage } from "./images.ts";

/** A shell script in place of an engine: it has an image once it was given an archive. */
const ENGINE = `#!/bin/sh
PATH=/usr/bin:/bin
here=$(dirname "$0")
case "$1" in
  image) [ -e "$here/loaded" ];;
  load) cp "$4" "$here/loaded";;
esac
`;

test("the archive that an engine is given is whole, and waits for no disk", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "polaris-load-"));
  const path = process.env["PATH"];
  t.after(async () => {
    process.env["PATH"] = path;
    await rm(folder, { recursive: true });
  });
  await writeFile(join(folder, "docker"), ENGINE);
  await chmod(join(folder, "docker"), 0o755);
  process.env["PATH"] = folder;
  await using file = await open(folder);
  const sync = t.mock.method(Object.getPrototypeOf(file) as typeof file, "sync");

  const image = createSmallBase();
  assert.equal(await loadImage("docker", image, AbortSignal.timeout(10_000)), image.config.digest);
  assert.ok((await readFile(join(folder, "loaded"))).includes(image.manifest.bytes));
  assert.equal(sync.mock.callCount(), 0);
});
