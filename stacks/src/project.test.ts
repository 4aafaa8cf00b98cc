import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { formatImageReference } from "@polaris-cvm/images/image-reference.ts";
import type { ImageReference } from "@polaris-cvm/images/image-reference.ts";
import { parseImageConfig } from "@polaris-cvm/images/manifest.ts";
import type { ResolvedImage } from "@polaris-cvm/images/resolve-image.ts";
import { createSmallBase } from "../../images/testing/small-base.ts";
import type { ResolveImage } from "./lock-file/locked-image.ts";
import { planStack } from "./plan.ts";
import { checkLock, lockStack, openProject, saveLock, usePinnedImage } from "./project.ts";
import type { Project } from "./project.ts";

const BASE = "docker.io/library/node:26-slim";

/** What a registry has under some tags; `asked` tells what it was asked for. */
class Tags {
  readonly asked: string[] = [];
  readonly #images = new Map<string, ResolvedImage>();

  /** Points a tag to an image, and gives back its digest. */
  async point(tagged: string, variant: string): Promise<string> {
    const image = createSmallBase({ env: [`VARIANT=${variant}`] });
    const pieces: Uint8Array[] = [];
    for await (const piece of image.openBlob(image.config, AbortSignal.timeout(1000))) pieces.push(piece);
    const { digest, mediaType } = image.manifest;
    const resolved = {
      reference: tagged,
      digest,
      mediaType,
      platformDigest: digest,
      platformMediaType: mediaType,
      config: parseImageConfig(Buffer.concat(pieces)),
      image,
    };
    this.#images.set(tagged, resolved);
    this.#images.set(digest, resolved);
    return digest;
  }

  readonly resolve: ResolveImage = async (reference: ImageReference) => {
    const name = formatImageReference(reference);
    this.asked.push(name);
    const found = this.#images.get(reference.digest ?? name);
    assert.ok(found, `nobody has pushed ${name}`);
    return { ...found, reference: name };
  };
}

async function createProject(context: TestContext, lines: string): Promise<Project> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-project-"));
  context.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, "polaris.yaml"), `version: 1\nname: shop\n${lines}\n`);
  return await openProject(folder, {});
}

const IMAGE = "workload: { image: acme/app:1 }";
const CANONICAL = "docker.io/acme/app:1";

test("asks for an image once, and never again while the lock has it", async (context) => {
  const project = await createProject(context, IMAGE);
  const tags = new Tags();
  const digest = await tags.point(CANONICAL, "one");
  const locked = await lockStack(project, { frozen: false, resolve: tags.resolve });
  await saveLock(project, locked);
  assert.deepEqual(tags.asked, [CANONICAL]);
  assert.equal(locked.stackLock.workload.kind === "image" && locked.stackLock.workload.digest, digest);
  await tags.point(CANONICAL, "two");
  const again = await lockStack(project, { frozen: true, resolve: tags.resolve });
  assert.deepEqual([again.changes, again.stackLock], [[], locked.stackLock]);
  assert.deepEqual(await checkLock(project), []);
  assert.equal(tags.asked.length, 1);
});

test("an update says what has changed and why", async (context) => {
  const project = await createProject(context, IMAGE);
  const tags = new Tags();
  const from = await tags.point(CANONICAL, "one");
  await saveLock(project, await lockStack(project, { frozen: false, resolve: tags.resolve }));
  const to = await tags.point(CANONICAL, "two");
  const { changes } = await lockStack(project, { frozen: false, update: true, resolve: tags.resolve });
  const reason = `${CANONICAL} names another image now`;
  assert.deepEqual(changes, [
    { field: "workload.config.env", from: '["VARIANT=one"]', to: '["VARIANT=two"]', reason },
    { field: "workload.digest", from, to, reason },
    { field: "workload.platformDigest", from, to, reason },
  ]);
});

test("a program and an image in turn are told as what they are", async (context) => {
  const project = await createProject(context, "targets: { local: { run: [node, a.js] } }");
  await writeFile(join(project.projectDir, "a.js"), "");
  await saveLock(project, await lockStack(project, { frozen: false }));
  await writeFile(join(project.projectDir, "polaris.yaml"), `version: 1\nname: shop\n${IMAGE}\n`);
  const changed = await openProject(project.projectDir, {});
  await assert.rejects(lockStack(changed, { frozen: false }), { code: "IMAGE_NOT_LOCKED" });
  const tags = new Tags();
  await tags.point(CANONICAL, "one");
  const { changes } = await lockStack(changed, { frozen: false, resolve: tags.resolve });
  assert.deepEqual(
    changes.filter(({ field }) => /\.(kind|run|reference)$/.test(field)),
    [
      { field: "workload.kind", from: "process", to: "image", reason: "the workload is an image now" },
      { field: "workload.reference", from: undefined, to: CANONICAL, reason: "the workload is an image now" },
      {
        field: "workload.run",
        from: '["node","a.js"]',
        to: undefined,
        reason: "the workload is an image now",
      },
    ],
  );
});

test("without a network, an image that is not locked is refused and a check names it", async (context) => {
  const project = await createProject(context, IMAGE);
  for (const frozen of [false, true]) {
    await assert.rejects(lockStack(project, { frozen }), {
      code: "IMAGE_NOT_LOCKED",
      details: { reference: CANONICAL },
    });
  }
  assert.deepEqual(await checkLock(project), [
    {
      field: "workload.reference",
      from: undefined,
      to: CANONICAL,
      reason: "its digest is what polaris lock asks the registry for",
    },
  ]);
});

test("with a program beside the image it is the program that is locked, unless an engine is named", async (context) => {
  const both = (engine: string) =>
    createProject(context, `${IMAGE}\ntargets: { local: { engine: ${engine}, run: [node, a.js] } }`);
  for (const [engine, expected] of [
    ["docker", "image"],
    ["podman", "image"],
  ] as const) {
    const tags = new Tags();
    await tags.point(CANONICAL, "one");
    const { stackLock } = await lockStack(await both(engine), { frozen: false, resolve: tags.resolve });
    assert.equal(stackLock.workload.kind, expected, engine);
  }
  for (const engine of ["auto", "process"]) {
    const project = await createProject(
      context,
      `${IMAGE}\ntargets: { local: { engine: ${engine}, run: [node, a.js] } }`,
    );
    await writeFile(join(project.projectDir, "a.js"), "");
    assert.equal((await lockStack(project, { frozen: false })).stackLock.workload.kind, "process", engine);
  }
});

test("a pin is written at its first use, outlives deploys and moved tags, and moves with an update", async (context) => {
  const project = await createProject(context, "targets: { local: { run: [node, a.js] } }");
  await writeFile(join(project.projectDir, "a.js"), "");
  const tags = new Tags();
  const first = await tags.point(BASE, "one");
  const used = await usePinnedImage(project, "base", { resolve: tags.resolve, save: true });
  assert.deepEqual([used.reference, used.platformDigest], [BASE, first]);
  const second = await tags.point(BASE, "two");
  const again = await usePinnedImage(project, "base", { resolve: tags.resolve, save: true });
  assert.deepEqual([again.reference, again.digest, again.image.manifest.digest], [BASE, first, first]);
  assert.deepEqual(tags.asked, [BASE, `${BASE}@${first}`]);

  await saveLock(project, await lockStack(project, { frozen: false, resolve: tags.resolve }));
  const pinned = async (): Promise<string> =>
    JSON.parse(await readFile(project.lockPath, "utf8")).pins.base.platformDigest;
  assert.equal(await pinned(), first);

  const updated = await lockStack(project, { frozen: false, update: true, resolve: tags.resolve });
  assert.deepEqual(
    updated.changes.map(({ field, from, to, reason }) => [field, from, to, reason]),
    ["digest", "platformDigest"].map((name) => [
      `pins.base.${name}`,
      first,
      second,
      `${BASE} names another image now`,
    ]),
  );
  await saveLock(project, updated);
  assert.equal(await pinned(), second);
});

test("a command that only looks uses an image that is not pinned, and writes nothing", async (context) => {
  const project = await createProject(context, "targets: { local: { run: [node, a.js] } }");
  const tags = new Tags();
  const digest = await tags.point(BASE, "one");
  const used = await usePinnedImage(project, "base", { resolve: tags.resolve, save: false });
  assert.equal(used.digest, digest);
  await assert.rejects(readFile(project.lockPath), { code: "ENOENT" });
});

test("what another command has locked meanwhile is not overwritten, unless it is the same", async (context) => {
  const project = await createProject(context, IMAGE);
  const tags = new Tags();
  await tags.point(CANONICAL, "one");
  await saveLock(project, await lockStack(project, { frozen: false, resolve: tags.resolve }));
  const deploying = await lockStack(project, { frozen: false });
  await tags.point(CANONICAL, "two");
  const update = { frozen: false, update: true, resolve: tags.resolve };
  const [updated, same] = [await lockStack(project, update), await lockStack(project, update)];
  await saveLock(project, updated);
  const written = await readFile(project.lockPath, "utf8");
  await assert.rejects(saveLock(project, deploying), { code: "LOCK_FILE_STALE" });
  await saveLock(project, same);
  assert.equal(await readFile(project.lockPath, "utf8"), written);
});

test("a pin that another command has moved meanwhile is not overwritten", async (context) => {
  const project = await createProject(context, "targets: { local: { run: [node, a.js] } }");
  await writeFile(join(project.projectDir, "a.js"), "");
  const tags = new Tags();
  await tags.point(BASE, "one");
  await usePinnedImage(project, "base", { resolve: tags.resolve, save: true });
  await saveLock(project, await lockStack(project, { frozen: false }));
  const update = { frozen: false, update: true, resolve: tags.resolve };
  await tags.point(BASE, "two");
  const late = await lockStack(project, update);
  await tags.point(BASE, "three");
  await saveLock(project, await lockStack(project, update));
  await assert.rejects(saveLock(project, late), { code: "LOCK_FILE_STALE" });
});

test("of two who pin at once the first decides for both", async (context) => {
  const project = await createProject(context, "targets: { local: { run: [node, a.js] } }");
  const tags = new Tags();
  const first = await tags.point(BASE, "one");
  const slow: ResolveImage = async (reference) => {
    const resolved = await tags.resolve(reference);
    if (reference.digest === undefined) {
      await tags.point(BASE, "two");
      const other = await usePinnedImage(project, "base", { resolve: tags.resolve, save: true });
      assert.notEqual(other.digest, first);
    }
    return resolved;
  };
  const late = await usePinnedImage(project, "base", { resolve: slow, save: true });
  const lock = JSON.parse(await readFile(project.lockPath, "utf8"));
  assert.notEqual(late.digest, first);
  assert.equal(late.digest, lock.pins.base.digest);
});

test("a plan starts what the image says, or what the configuration puts in its place", async (context) => {
  const commandOf = async (workload: string, image: object): Promise<readonly string[]> => {
    const project = await createProject(context, `workload: { image: acme/app:1${workload} }`);
    const tags = new Tags();
    await tags.point(CANONICAL, "one");
    const { stackLock } = await lockStack(project, { frozen: false, resolve: tags.resolve });
    assert.ok(stackLock.workload.kind === "image");
    const locked = { ...stackLock.workload, config: { ...stackLock.workload.config, ...image } };
    const plan = planStack(project.config, "default", { ...stackLock, workload: locked });
    assert.ok(plan.workload.kind === "image");
    assert.equal(plan.workload.platformDigest, locked.platformDigest);
    return plan.workload.command;
  };
  const image = { entrypoint: ["/entry"], cmd: ["run"] };
  assert.deepEqual(await commandOf("", image), ["/entry", "run"]);
  assert.deepEqual(await commandOf(", args: [a, b]", image), ["/entry", "a", "b"]);
  assert.deepEqual(await commandOf(", entrypoint: [/other]", image), ["/other"]);
  assert.deepEqual(await commandOf(", entrypoint: [/other], args: [a]", image), ["/other", "a"]);
  await assert.rejects(commandOf("", { entrypoint: [], cmd: [] }), {
    code: "CONFIG_INVALID",
    message: `${CANONICAL} does not say which program to start`,
  });
});
