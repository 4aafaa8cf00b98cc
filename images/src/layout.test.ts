import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFile, mkdir, mkdtemp, readFile, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { collect } from "../testing/blob-bytes.ts";
import { skopeo, skopeoMissing } from "../testing/skopeo.ts";
import { createSmallBase } from "../testing/small-base.ts";
import type { Image } from "./image.ts";
import { blobPath, openLayout, writeLayout } from "./layout.ts";
import { DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, digestOf } from "./manifest.ts";

const { signal } = new AbortController();
const run = promisify(execFile);
const image = createSmallBase();
const other = createSmallBase({ env: ["OTHER=yes"] });

let folder: string;
let count = 0;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "polaris-layout-"));
});
after(() => rm(folder, { recursive: true }));

/** A path where nothing is. */
async function fresh(): Promise<string> {
  count += 1;
  await mkdir(join(folder, `case-${count}`));
  return join(folder, `case-${count}`, "layout");
}

async function written(of: Image = image): Promise<string> {
  const directory = await fresh();
  await writeLayout(of, directory, { signal });
  return directory;
}

test("what is written is opened again, byte by byte", async () => {
  const directory = await written();
  const opened = await openLayout(directory);
  assert.deepEqual(opened.manifest, { ...image.manifest, bytes: Buffer.from(image.manifest.bytes) });
  for (const blob of [image.config, ...image.layers]) {
    assert.deepEqual(await collect(opened, blob), await collect(image, blob));
  }
  assert.deepEqual(await readdir(join(directory, "..")), ["layout"]);
});

test("skopeo reads it, and we read what skopeo writes", { skip: skopeoMissing }, async () => {
  const directory = await fresh();
  await writeLayout(image, directory, { tag: "v1", signal });
  const inspected = JSON.parse(await skopeo("inspect", `oci:${directory}:v1`)) as Record<string, unknown>;
  assert.equal(inspected["Digest"], image.manifest.digest);
  assert.deepEqual(
    inspected["Layers"],
    image.layers.map(({ digest }) => digest),
  );

  await skopeo("copy", `oci:${directory}:v1`, `oci:${directory}-copy:of-skopeo`);
  const copied = await openLayout(`${directory}-copy`, { reference: "of-skopeo" });
  assert.equal(copied.manifest.digest, image.manifest.digest);
});

test("a layout is replaced by another one, an empty folder too, anything else is left alone", async () => {
  const directory = await written();
  await writeLayout(other, directory, { tag: "new", signal });
  assert.equal((await openLayout(directory)).manifest.digest, other.manifest.digest);
  assert.deepEqual(await readdir(join(directory, "..")), ["layout"]);

  const empty = await fresh();
  await mkdir(empty);
  await writeLayout(image, empty, { signal });
  await openLayout(empty);

  const precious = await fresh();
  await mkdir(precious);
  await writeFile(join(precious, "thesis.tex"), "years of work");
  const refused = { code: "STATE_UNWRITABLE", message: `${precious} is there and is no OCI layout` };
  await assert.rejects(writeLayout(image, precious, { signal }), refused);
  assert.deepEqual(await readdir(precious), ["thesis.tex"]);
  await assert.rejects(writeLayout(image, join(precious, "thesis.tex"), { signal }), {
    code: "STATE_UNWRITABLE",
  });
  assert.equal(await readFile(join(precious, "thesis.tex"), "utf8"), "years of work");
});

const HARMED: readonly (readonly [harm: (directory: string) => Promise<unknown>, reason: string])[] = [
  [(directory) => writeFile(join(directory, "thesis.tex"), "x"), "holds thesis.tex, which is not"],
  [(directory) => mkdir(join(directory, ".git")), "holds .git, which is not"],
  [(directory) => writeFile(join(directory, "blobs/notes"), "x"), "holds notes, which is not"],
  [(directory) => writeFile(join(directory, "blobs/sha256/x"), "x"), "holds sha256/x, which is not"],
  [(directory) => rm(join(directory, "index.json")), "is no OCI layout"],
  [(directory) => writeFile(join(directory, "index.json"), "{"), "has an index.json that cannot be read"],
  [
    (directory) => writeIndex(directory, [entryOf(image, "one"), entryOf(other, "two")]),
    "is an OCI layout of 2 images",
  ],
  [
    (directory) => writeIndex(directory, [{ ...entryOf(image), mediaType: OCI_INDEX }]),
    "holds something else than one image",
  ],
];

test("a folder that holds more than a layout of one image is left alone", async () => {
  for (const [harm, reason] of HARMED) {
    const directory = await written();
    await harm(directory);
    const before = await readdir(directory, { recursive: true });
    let isRead = false;
    const watched: Image = {
      ...other,
      openBlob(blob, given) {
        isRead = true;
        return other.openBlob(blob, given);
      },
    };
    await assert.rejects(
      writeLayout(watched, directory, { signal }),
      (error: Error & { code?: string }) =>
        error.code === "STATE_UNWRITABLE" && error.message.startsWith(`${directory} is there and ${reason}`),
      reason,
    );
    assert.deepEqual(await readdir(directory, { recursive: true }), before);
    assert.equal(isRead, false);
  }
});

test("a file in the place of the blobs is not lost either", async () => {
  const directory = await written();
  await rm(join(directory, "blobs"), { recursive: true });
  await writeFile(join(directory, "blobs"), "years of work");
  await assert.rejects(writeLayout(other, directory, { signal }), { code: "STATE_UNWRITABLE" });
  assert.equal(await readFile(join(directory, "blobs"), "utf8"), "years of work");
});

test("what somebody puts into the folder while it is written is not lost", async () => {
  for (const isThere of [true, false]) {
    const directory = isThere ? await written() : await fresh();
    const slow: Image = {
      ...other,
      async *openBlob(blob, given) {
        await mkdir(directory, { recursive: true });
        await writeFile(join(directory, "thesis.tex"), "years of work");
        yield* other.openBlob(blob, given);
      },
    };
    await assert.rejects(writeLayout(slow, directory, { signal }), { code: "STATE_UNWRITABLE" });
    assert.equal(await readFile(join(directory, "thesis.tex"), "utf8"), "years of work");
    assert.deepEqual(await readdir(join(directory, "..")), ["layout"]);
  }
});

test("a pipe in place of a file keeps nobody waiting", { timeout: 5_000 }, async () => {
  for (const path of ["oci-layout", "index.json", blobPath(image.manifest.digest)]) {
    const directory = await written();
    await rm(join(directory, path));
    await run("mkfifo", [join(directory, path)]);
    await assert.rejects(openLayout(directory), {
      code: "IMAGE_INVALID",
      message: `cannot read ${path} of the layout ${directory} (not a regular file)`,
    });
  }
});

test("a layout is not opened for somebody who has gone", async () => {
  const reason = new Error("Ctrl-C");
  const opening = openLayout(await written(), { signal: AbortSignal.abort(reason) });
  await assert.rejects(opening, (error) => error === reason);
});

test("one of several images is chosen by its name or digest, and for nobody by chance", async () => {
  const directory = await written();
  const also = await written(other);
  await copyBlobs(also, directory);
  const entries = [entryOf(image, "one"), entryOf(other, "two")];
  await writeIndex(directory, entries);
  assert.equal((await openLayout(directory, { reference: "two" })).manifest.digest, other.manifest.digest);
  const byDigest = await openLayout(directory, { reference: image.manifest.digest });
  assert.equal(byDigest.manifest.digest, image.manifest.digest);
  await assert.rejects(openLayout(directory), {
    code: "IMAGE_NOT_FOUND",
    message: `expected exactly one image in ${directory}, got 2`,
    hint: "it holds one, two",
  });
  await assert.rejects(openLayout(directory, { reference: "three" }), {
    code: "IMAGE_NOT_FOUND",
    message: `expected one image three in ${directory}, got 0`,
  });
});

test("an index inside leads to the image for linux/amd64, past attestations", async () => {
  const directory = await written();
  const platforms = (platform: object) => ({ ...entryOf(image), platform });
  const nested = async (manifests: object[]): Promise<void> => {
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
    await writeFile(join(directory, blobPath(digestOf(bytes))), bytes);
    await writeIndex(directory, [{ mediaType: OCI_INDEX, digest: digestOf(bytes), size: bytes.length }]);
  };
  const absent = { mediaType: OCI_MANIFEST, digest: `sha256:${"0".repeat(64)}`, size: 3 };
  const unknown = { ...absent, platform: { os: "unknown", architecture: "unknown" } };
  const arm = { ...absent, platform: { os: "linux", architecture: "arm64" } };
  await nested([unknown, arm, platforms({ os: "linux", architecture: "amd64" })]);
  assert.equal((await openLayout(directory)).manifest.digest, image.manifest.digest);
  await nested([unknown, arm]);
  await assert.rejects(openLayout(directory), {
    code: "IMAGE_PLATFORM_MISSING",
    message: /only for linux\/arm64/,
  });
});

test("what is no layout, or a broken one, is refused with its reason", async () => {
  const cases: [break_: (directory: string) => Promise<unknown>, code: string, message: RegExp][] = [
    [(directory) => rm(directory, { recursive: true }), "IMAGE_NOT_FOUND", /is no OCI layout$/],
    [(directory) => rm(join(directory, "oci-layout")), "IMAGE_NOT_FOUND", /is no OCI layout$/],
    [
      (directory) => writeFile(join(directory, "oci-layout"), "{}"),
      "IMAGE_INVALID",
      /no OCI layout of version/,
    ],
    [
      (directory) => writeFile(join(directory, "oci-layout"), "x"),
      "IMAGE_INVALID",
      /no OCI layout of version/,
    ],
    [(directory) => rm(join(directory, "index.json")), "IMAGE_INVALID", /cannot read index\.json.*ENOENT/],
    [(directory) => writeFile(join(directory, "index.json"), "{"), "IMAGE_INVALID", /index is not JSON/],
    [
      (directory) => truncate(join(directory, "index.json"), 2 ** 40),
      "IMAGE_TOO_LARGE",
      /more than 4194304 bytes/,
    ],
    [(directory) => writeIndex(directory, []), "IMAGE_NOT_FOUND", /got 0$/],
    [
      (directory) => writeIndex(directory, [{ ...entryOf(image), mediaType: "text/plain" }]),
      "IMAGE_INVALID",
      /holds "text\/plain", expected an image/,
    ],
    [
      (directory) => writeIndex(directory, [{ ...entryOf(image), digest: "sha256:../../etc/passwd" }]),
      "IMAGE_INVALID",
      /manifests\.0\.digest is wrong/,
    ],
    [
      (directory) => writeIndex(directory, [{ ...entryOf(image), size: 2 ** 33 }]),
      "IMAGE_TOO_LARGE",
      /announced with 8589934592 bytes/,
    ],
    [
      (directory) => writeIndex(directory, [{ ...entryOf(image), mediaType: DOCKER_MANIFEST }]),
      "IMAGE_INVALID",
      /calls itself application\/vnd\.oci\.\S+, expected "application\/vnd\.docker/,
    ],
    [(directory) => appendFile(manifestOf(directory), " "), "IMAGE_DIGEST_MISMATCH", /bytes, got more$/],
    [
      (directory) => truncate(manifestOf(directory), 9),
      "IMAGE_DIGEST_MISMATCH",
      /expected \d+ bytes, got only 9$/,
    ],
    [
      (directory) => rm(manifestOf(directory)),
      "IMAGE_INVALID",
      /cannot read blobs\/sha256\/\S+ of the layout/,
    ],
  ];
  for (const [break_, code, message] of cases) {
    const directory = await written();
    await break_(directory);
    await assert.rejects(openLayout(directory), { code, message }, String(message));
  }
});

test("a layer that somebody changed is noticed, at the end or as soon as it is too long", async () => {
  const directory = await written();
  const [layer] = image.layers;
  assert.ok(layer !== undefined);
  const path = join(directory, blobPath(layer.digest));
  const bytes = await readFile(path);
  const opened = await openLayout(directory);
  bytes.writeUInt8(bytes.readUInt8(20) ^ 1, 20);
  await writeFile(path, bytes);
  await assert.rejects(collect(opened, layer), {
    code: "IMAGE_DIGEST_MISMATCH",
    message: /expected digest sha256:\S+ got sha256:/,
  });
  // Endless, as far as one can tell.
  await truncate(path, 2 ** 40);
  await assert.rejects(collect(opened, layer), {
    code: "IMAGE_DIGEST_MISMATCH",
    message: /bytes, got more$/,
  });
});

/** An image whose layer fails in the middle. */
function failing(error: () => unknown): Image {
  return {
    ...image,
    openBlob(blob, given) {
      if (blob.digest === image.config.digest) return image.openBlob(blob, given);
      return (async function* pieces() {
        yield Buffer.from("beginning");
        throw error();
      })();
    },
  };
}

test("an image that breaks off, or a run that is stopped, leaves nothing behind and the old layout in place", async () => {
  const directory = await written();
  const broken = new Error("the registry is gone");
  await assert.rejects(
    writeLayout(
      failing(() => broken),
      directory,
      { signal },
    ),
    broken,
  );
  const controller = new AbortController();
  const stopped = failing(() => {
    controller.abort(new Error("stopped"));
    return controller.signal.reason;
  });
  await assert.rejects(writeLayout(stopped, directory, { signal: controller.signal }));
  assert.deepEqual(await readdir(join(directory, "..")), ["layout"]);
  assert.equal((await openLayout(directory)).manifest.digest, image.manifest.digest);
});

test("a process that is killed while it writes leaves nothing that is taken for a layout", async () => {
  const directory = await written();
  const program = `
    import { writeLayout } from ${JSON.stringify(join(import.meta.dirname, "layout.ts"))};
    import { createSmallBase } from ${JSON.stringify(join(import.meta.dirname, "../testing/small-base.ts"))};
    const image = createSmallBase();
    const endless = async function* () { yield Buffer.from("x"); console.log("writing"); await new Promise(() => setInterval(() => {}, 1000)); };
    await writeLayout({ ...image, openBlob: endless }, ${JSON.stringify(directory)}, { signal: new AbortController().signal });`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  child.kill("SIGKILL");
  await once(child, "close");
  assert.equal((await openLayout(directory)).manifest.digest, image.manifest.digest);
  const left = (await readdir(join(directory, ".."))).filter((name) => name !== "layout");
  assert.equal(left.length, 1);
  assert.match(left[0] ?? "", /^\.layout\.\d+\.[0-9a-f]{12}\.tmp$/);
  await assert.rejects(openLayout(join(directory, "..", left[0] ?? "")), { code: "IMAGE_NOT_FOUND" });
});

test("a full disk is said as such, and nothing half-written stays", async (context: TestContext) => {
  const disk = join(folder, "disk");
  await mkdir(disk);
  try {
    await run("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", disk]);
  } catch {
    context.skip("no right to mount a small file system");
    return;
  }
  try {
    const directory = join(disk, "layout");
    await writeLayout(image, directory, { signal });
    const large = Buffer.alloc(256 * 1024, "x");
    const layer = { mediaType: "application/x", digest: digestOf(large), size: large.length };
    const tooLarge: Image = {
      ...image,
      layers: [layer],
      openBlob: (blob, given) => (blob === layer ? pieceOf(large) : image.openBlob(blob, given)),
    };
    await assert.rejects(writeLayout(tooLarge, directory, { signal }), {
      code: "STATE_UNWRITABLE",
      message: `cannot write ${directory}: no space left on the disk`,
      hint: /free some space/,
      details: { path: directory, errno: "ENOSPC" },
    });
    assert.deepEqual(await readdir(disk), ["layout"]);
    assert.equal((await openLayout(directory)).manifest.digest, image.manifest.digest);
  } finally {
    await run("umount", [disk]);
  }
});

test("a place that cannot be written says why", async () => {
  const file = join(folder, "file");
  await writeFile(file, "");
  await assert.rejects(writeLayout(image, join(file, "layout"), { signal }), {
    code: "STATE_UNWRITABLE",
    message: /a part of the path is not a folder$/,
  });
  await assert.rejects(writeLayout(image, join(folder, "nowhere/layout"), { signal }), {
    code: "STATE_UNWRITABLE",
    message: `cannot write ${join(folder, "nowhere/layout")}: its folder does not exist`,
  });
});

async function* pieceOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function entryOf({ manifest }: Image, name?: string): object {
  const { mediaType, digest, bytes } = manifest;
  const annotations =
    name === undefined ? {} : { annotations: { "org.opencontainers.image.ref.name": name } };
  return { mediaType, digest, size: bytes.length, ...annotations };
}

async function writeIndex(directory: string, manifests: readonly object[]): Promise<void> {
  await writeFile(join(directory, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
}

function manifestOf(directory: string): string {
  return join(directory, blobPath(image.manifest.digest));
}

async function copyBlobs(from: string, to: string): Promise<void> {
  for (const name of await readdir(join(from, "blobs/sha256"))) {
    await writeFile(join(to, "blobs/sha256", name), await readFile(join(from, "blobs/sha256", name)));
  }
}
