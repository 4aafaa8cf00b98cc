import assert from "node:assert/strict";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { extractArchive, listArchive } from "../testing/read-tar.ts";
import { skopeo, skopeoMissing } from "../testing/skopeo.ts";
import { createSmallBase } from "../testing/small-base.ts";
import { writeDockerArchive } from "./docker-archive.ts";
import { openLayout } from "./layout.ts";
import { parseImageConfig, parseManifest } from "./manifest.ts";
import { buildProxyImage } from "./proxy-image.ts";
import type { BuiltImage } from "./proxy-image.ts";

const { signal } = new AbortController();
const NAMES = ["polaris-proxy:0.1.0"];

let folder: string;
let image: BuiltImage;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "polaris-docker-archive-"));
  image = await buildProxyImage({ base: createSmallBase(), baseName: "small", signal });
});
after(() => rm(folder, { recursive: true }));

test(
  "skopeo reads it as Docker's archive: the same configuration and layers",
  { skip: skopeoMissing },
  async () => {
    const file = join(folder, "image.tar");
    await writeDockerArchive(image, file, { names: NAMES, signal });
    assert.deepEqual(await readdir(folder), ["image.tar"]);
    await skopeo("copy", `docker-archive:${file}:polaris-proxy:0.1.0`, `oci:${folder}/of-archive`);
    const copied = await openLayout(join(folder, "of-archive"));
    // The layers are compressed anew on the way; what is in them is told by the configuration.
    assert.equal(copied.config.digest, image.config.digest);
  },
);

test("skopeo reads it as an OCI archive: the same digest", { skip: skopeoMissing }, async () => {
  const file = join(folder, "oci.tar");
  await writeDockerArchive(image, file, { names: NAMES, signal });
  await skopeo("copy", `oci-archive:${file}`, `oci:${folder}/of-oci-archive`);
  assert.equal((await openLayout(join(folder, "of-oci-archive"))).manifest.digest, image.manifest.digest);
});

test(
  "skopeo writes a layout of ours as Docker's archive with the same layers",
  { skip: skopeoMissing },
  async () => {
    const file = join(folder, "again.tar");
    await writeDockerArchive(image, file, { names: [], signal });
    await skopeo("copy", `oci-archive:${file}`, `docker-archive:${folder}/of-skopeo.tar`);
    const inspected = JSON.parse(
      await skopeo("inspect", "--config", `docker-archive:${folder}/of-skopeo.tar`),
    ) as {
      rootfs: { diff_ids: string[] };
    };
    const chunks = await Array.fromAsync(image.openBlob(image.config, signal));
    assert.deepEqual(inspected.rootfs.diff_ids, parseImageConfig(Buffer.concat(chunks)).diffIds);
  },
);

test("the archive is a layout too, names the image, and has each blob once", async () => {
  const twice: BuiltImage = { ...image, layers: [...image.layers, ...image.layers] };
  const file = join(folder, "twice.tar");
  await writeDockerArchive(twice, file, { names: NAMES, signal });
  const archive = await readFile(file);
  const listed = (await listArchive(archive)).map((line) => line.split(" ").at(-1));
  assert.equal(new Set(listed).size, listed.length);

  const extracted = await mkdtemp(join(folder, "extracted-"));
  await extractArchive(archive, extracted);
  assert.equal((await openLayout(extracted)).manifest.digest, image.manifest.digest);
  const [entry] = JSON.parse(await readFile(join(extracted, "manifest.json"), "utf8")) as {
    RepoTags: string[];
    Layers: string[];
  }[];
  assert.deepEqual(entry?.RepoTags, NAMES);
  assert.equal(entry?.Layers.length, 2 * parseManifest(image.manifest.bytes).layers.length);
});

test("a blob that no archive holds is refused before anything is written", async () => {
  const place = await mkdtemp(join(folder, "large-"));
  const digest = `sha256:${"0".repeat(64)}`;
  const large = (size: number): BuiltImage => ({
    ...image,
    layers: [{ mediaType: "application/x", digest, size }],
    openBlob: () => assert.fail("nothing is to be read"),
  });
  await assert.rejects(
    writeDockerArchive(large(8 * 1024 ** 3), join(place, "image.tar"), { names: [], signal }),
    {
      code: "IMAGE_TOO_LARGE",
      message: `${digest} has 8589934592 bytes; 8589934591 is the most that an archive holds`,
    },
  );
  assert.deepEqual(await readdir(place), []);
});

test("an image that breaks off leaves the old file in place and nothing beside it", async () => {
  const place = await mkdtemp(join(folder, "broken-"));
  const file = join(place, "image.tar");
  await writeFile(file, "the old one");
  const broken = new Error("the registry is gone");
  const failing: BuiltImage = {
    ...image,
    // oxlint-disable-next-line require-yield -- it fails before there is anything
    async *openBlob() {
      throw broken;
    },
  };
  await assert.rejects(writeDockerArchive(failing, file, { names: [], signal }), broken);
  const stopped = AbortSignal.abort(new Error("stopped"));
  await assert.rejects(writeDockerArchive(image, file, { names: [], signal: stopped }));
  assert.deepEqual(await readdir(place), ["image.tar"]);
  assert.equal(await readFile(file, "utf8"), "the old one");
  await assert.rejects(writeDockerArchive(image, place, { names: [], signal }), {
    code: "STATE_UNWRITABLE",
    message: `cannot write ${place}: it is a folder`,
  });
});
