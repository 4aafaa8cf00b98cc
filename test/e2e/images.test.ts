import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, watch } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import type { Image } from "../../images/src/image.ts";
import { parseImageReference } from "../../images/src/image-reference.ts";
import { writeLayout } from "../../images/src/layout.ts";
import { pushImage } from "../../images/src/push-image.ts";
import { createRegistryClient } from "../../images/src/registry/registry-client.ts";
import { MemoryRegistry } from "../../images/testing/memory-registry.ts";
import { ACCOUNT, REGISTRY_MISSING, startRegistry } from "../../images/testing/registry-fixture.ts";
import type { RunningRegistry } from "../../images/testing/registry-fixture.ts";
import { createSmallBase } from "../../images/testing/small-base.ts";
import { COMMAND_DATA } from "../../docs/command-data.ts";
import { startPolaris, TestProject } from "../polaris-process.ts";
import type { JsonDocument } from "../polaris-process.ts";
import { ENTER, NO_TERMINAL, startInTerminal } from "../pseudo-terminal.ts";

const skip = REGISTRY_MISSING;

/** What the proxy stands on in these tests, in each registry. */
const BASE = "mirror/node:26-slim";

let registry: RunningRegistry;
let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "polaris-images-"));
  await writeLayout(createSmallBase(), join(folder, "base"), { signal: AbortSignal.timeout(5_000) });
  if (skip !== false) return;
  registry = await startRegistry();
  await push(createSmallBase(), `${registry.host}/${BASE}`);
});
after(async () => {
  await registry?.stop();
  await rm(folder, { recursive: true });
});

/** An image like the others, and yet another one. */
const imageOf = (variant: string): Image => createSmallBase({ env: [`VARIANT=${variant}`] });

async function push(image: Image, reference: string): Promise<string> {
  const { tag, digest: _, ...repository } = parseImageReference(reference);
  const client = createRegistryClient();
  const signal = AbortSignal.timeout(5_000);
  await pushImage(image, { registry: client, repository, tag, signal, onProgress: () => {} });
  await client.close();
  return image.manifest.digest;
}

/** polaris.yaml of an image, with the base in the same registry. */
function configOf(image: string, base = `${parseImageReference(image).registry}/${BASE}`): string {
  return `version: 1
name: shop
workload: { image: "${image}", entrypoint: [serve] }
proxy: { base: "${base}" }
targets: { local: { engine: docker } }
`;
}

async function createProject(context: TestContext, image: string): Promise<TestProject> {
  const project = await TestProject.create({ "polaris.yaml": configOf(image) });
  context.after(() => project.remove());
  return project;
}

async function readLock(project: TestProject) {
  return JSON.parse(await readFile(join(project.dir, "polaris.lock"), "utf8"));
}

const polaris = async (...args: readonly string[]): Promise<JsonDocument> => {
  const { stdout } = await startPolaris([...args, "--json"], folder).finished;
  return JSON.parse(stdout) as JsonDocument;
};

test(
  "a tag is locked once, stays what it was, and moves with --update, which says why",
  { skip },
  async (context) => {
    const reference = `${registry.host}/shop/app:1`;
    const first = await push(imageOf("one"), reference);
    const project = await createProject(context, reference);
    const written = await project.run(["lock"]);
    assert.equal(written.exitCode, 0, written.stderr);
    assert.match(written.stdout, new RegExp(`^\\+ workload\\.platformDigest: ${first}$`, "m"));
    const locked = (await readLock(project)).stacks.default.workload;
    const { config, ...names } = locked;
    const mediaType = "application/vnd.oci.image.manifest.v1+json";
    assert.deepEqual(names, {
      kind: "image",
      reference,
      digest: first,
      mediaType,
      platformDigest: first,
      platformMediaType: mediaType,
    });
    assert.deepEqual(config, {
      entrypoint: [],
      cmd: [],
      env: ["VARIANT=one"],
      user: "node",
      workingDir: "",
      exposedPorts: [],
    });

    const second = await push(imageOf("two"), reference);
    assert.deepEqual((await project.json(["lock"])).data.changes, []);
    assert.equal((await project.json(["lock", "--check"])).ok, true);
    assert.deepEqual((await readLock(project)).stacks.default.workload, locked);

    const updated = await project.run(["lock", "--update"]);
    assert.match(updated.stdout, new RegExp(`^~ workload\\.digest: ${first} → ${second}$`, "m"));
    assert.match(updated.stdout, /^~ workload\.config\.env: \["VARIANT=one"\] → \["VARIANT=two"\]$/m);
    assert.ok(updated.stdout.includes(`because ${reference} names another image now`), updated.stdout);
    assert.equal((await readLock(project)).stacks.default.workload.digest, second);
    assert.deepEqual((await project.json(["lock", "--update"])).data.changes, []);
  },
);

test("another reference in polaris.yaml is not what is locked", { skip }, async (context) => {
  const reference = `${registry.host}/shop/other:1`;
  await push(imageOf("one"), reference);
  const project = await createProject(context, reference);
  await project.run(["lock"]);
  await writeFile(join(project.dir, "polaris.yaml"), configOf(`${reference}23`));
  const check = await project.json(["lock", "--check"]);
  assert.equal(check.error?.exitCode, 7);
  assert.deepEqual(check.data.changes[0].from, reference);
  const refused = await project.json(["deploy", "--yes"]);
  assert.equal(refused.error?.code, "IMAGE_NOT_LOCKED");
  assert.ok(refused.error?.message.includes(`it has ${reference}`), refused.error?.message);
  assert.equal((await project.json(["lock"])).error?.code, "IMAGE_NOT_FOUND");
});

test(
  "a person who deploys or previews an image that is not in the lock is offered to lock it",
  { skip: skip || NO_TERMINAL },
  async (context) => {
    const reference = `${registry.host}/shop/offered:1`;
    const digest = await push(imageOf("one"), reference);
    const project = await createProject(context, reference);
    const unasked = await startInTerminal(["preview", "--non-interactive"], project.dir).finished;
    assert.equal(unasked.exitCode, 5, unasked.text);
    const base = `${registry.host}/${BASE}, which the proxy stands on, is ${createSmallBase().manifest.digest}`;
    const proxy = "the image of the proxy \\(polaris 0\\.1\\.0\\) is sha256:";
    const shown = new RegExp(
      `is not in .*polaris\\.lock.*${reference} is ${digest}.*${base}.*${proxy}.*Lock it`,
      "s",
    );
    const env = { DOCKER_HOST: "unix:///nonexistent.sock" };
    const path = join(project.dir, "polaris.lock");
    for (const command of ["preview", "deploy"]) {
      const declined = startInTerminal([command], project.dir, env);
      await declined.screen(shown);
      declined.type(`n${ENTER}`);
      assert.equal((await declined.finished).exitCode, 8);
      assert.ok(!existsSync(path));
      const session = startInTerminal([command], project.dir, env);
      await session.screen(shown);
      session.type(`y${ENTER}`);
      await session.finished;
      const { stacks, pins } = await readLock(project);
      assert.equal(stacks.default.workload.digest, digest);
      assert.equal(stacks.default.proxy.base, pins.base.platformDigest);
      if (command === "preview") await rm(path);
    }
    // What was locked is complete: only the engine is missing now.
    for (const args of [["deploy", "--yes", "--locked"], ["preview"]]) {
      assert.equal((await project.json(args, env)).error?.code, "CONTAINER_ENGINE_UNAVAILABLE");
    }
  },
);

test("the proxy in the lock is what image build makes in the project", { skip }, async (context) => {
  const reference = `${registry.host}/shop/proxied:1`;
  await push(imageOf("one"), reference);
  const project = await createProject(context, reference);
  const written = await project.run(["lock"]);
  const { proxy } = (await readLock(project)).stacks.default;
  assert.match(written.stdout, new RegExp(`^\\+ proxy\\.digest: ${proxy.digest}$`, "m"));
  const built = await project.json(["image", "build"]);
  assert.deepEqual([built.data.digest, built.data.base.digest], [proxy.digest, proxy.base]);
  assert.equal((await polaris("image", "inspect", `${registry.host}/${BASE}`)).data.digest, proxy.base);
  // The time of a build of one's own is not that of what is deployed.
  const env = { SOURCE_DATE_EPOCH: "1000000000" };
  assert.notEqual((await project.json(["image", "build"], env)).data.digest, proxy.digest);
  assert.deepEqual((await project.json(["lock", "--check"], env)).data.changes, []);
});

test(
  "lock --check says without a registry what is not locked, and deploy refuses it",
  { skip },
  async (context) => {
    const reference = `${registry.host}/shop/checked:1`;
    await push(imageOf("one"), reference);
    const project = await createProject(context, reference);
    await project.run(["lock"]);
    const path = join(project.dir, "polaris.lock");
    const original = await readFile(path, "utf8");
    const version = original.replace('"version": "0.1.0"', '"version": "0.0.9"');
    await writeFile(path, version);
    const text = await project.run(["lock", "--check"]);
    assert.equal(text.exitCode, 7);
    assert.equal(
      text.stdout,
      "~ proxy.version: 0.0.9 → 0.1.0\n  because this is polaris 0.1.0, the proxy's image in the lock is of 0.0.9\n",
    );
    for (const args of [["deploy", "--yes"], ["deploy", "--yes", "--locked"], ["preview"]]) {
      const refused = await project.json(args);
      assert.deepEqual([refused.error?.code, refused.error?.exitCode], ["IMAGE_NOT_LOCKED", 5]);
      assert.match(
        refused.error?.message ?? "",
        /^the image of the proxy is not in .*: this is polaris 0\.1\.0/,
      );
    }
    assert.equal(await readFile(path, "utf8"), version);
    assert.equal((await project.run(["lock"])).exitCode, 0);
    assert.equal(await readFile(path, "utf8"), original);
  },
);

test("a base that was opened is not asked for again, unless what was kept of it is damaged", async (context) => {
  const asked = await MemoryRegistry.start();
  context.after(() => asked[Symbol.asyncDispose]());
  await push(createSmallBase(), `${asked.host}/${BASE}`);
  await push(imageOf("one"), `${asked.host}/shop/app:1`);
  const project = await createProject(context, `${asked.host}/shop/app:1`);
  const cache = join(project.dir, "cache");
  const env = { XDG_CACHE_HOME: cache };
  const requestsOf = async (...args: readonly string[]): Promise<number> => {
    const before = asked.requests.length;
    const { error } = await project.json(args, env);
    assert.equal(error, null);
    return asked.requests.length - before;
  };
  assert.ok((await requestsOf("lock")) > 0);
  assert.equal(await requestsOf("image", "build"), 0);
  const kept = join(cache, "polaris/images");
  assert.equal((await stat(kept)).mode & 0o777, 0o700);
  for (const name of await readdir(kept)) await writeFile(join(kept, name), "damaged");
  assert.ok((await requestsOf("image", "build")) > 0);
  assert.equal(await requestsOf("image", "build"), 0);
  assert.ok((await requestsOf("lock")) > 0, "the workload is looked at too");
  assert.equal(await requestsOf("lock"), 0);
});

test("a lock that a hand has changed is refused before anything runs, with its registry or without", async (context) => {
  const asked = await MemoryRegistry.start();
  context.after(() => asked[Symbol.asyncDispose]());
  await push(createSmallBase(), `${asked.host}/${BASE}`);
  const app = `${asked.host}/shop/app`;
  const evil = await push(imageOf("evil"), `${app}:evil`);
  // The workload is an index, which polaris.yaml pins by its digest.
  const image = imageOf("one");
  await push(image, `${app}:one`);
  const { digest: platformDigest, mediaType, bytes } = image.manifest;
  const platform = { os: "linux", architecture: "amd64" };
  const manifests = [{ mediaType, digest: platformDigest, size: bytes.length, platform }];
  const indexType = "application/vnd.oci.image.index.v1+json";
  const index = asked.addManifest("shop/app", { schemaVersion: 2, manifests }, indexType);
  const project = await createProject(context, `${app}@${index.digest}`);
  const env = { XDG_CACHE_HOME: join(project.dir, "cache"), DOCKER_HOST: "unix:///nonexistent.sock" };
  assert.equal((await project.json(["lock"], env)).error, null);

  const path = join(project.dir, "polaris.lock");
  const original = await readFile(path, "utf8");
  const forgeries = [
    ["workload.platformDigest", original.replaceAll(platformDigest, evil)],
    ["workload.config.env", original.replace('"VARIANT=one"', '"LD_PRELOAD=/evil.so"')],
  ] as const;
  const elsewhere = { ...env, XDG_CACHE_HOME: join(project.dir, "empty") };
  for (const [field, forged] of forgeries) {
    await writeFile(path, forged);
    for (const args of [["preview"], ["deploy", "--yes"], ["deploy", "--yes", "--locked"]]) {
      const { error } = await project.json(args, args.includes("--locked") ? elsewhere : env);
      assert.equal(error?.code, "IMAGE_DIGEST_MISMATCH", JSON.stringify(error));
      assert.ok(error.message.endsWith(`is not as polaris.lock says: ${field}`), error.message);
    }
    await rm(elsewhere.XDG_CACHE_HOME, { recursive: true });
    const before = asked.requests.length;
    const told = await project.run(["lock", "--check"], env);
    assert.equal(told.exitCode, 7);
    assert.ok(told.stdout.startsWith(`~ ${field}: `), told.stdout);
    assert.match(told.stdout, /because the lock was changed by hand/);
    // Where nothing is kept, there is nothing to compare with.
    assert.equal((await project.json(["lock", "--check"], elsewhere)).error, null);
    assert.equal(asked.requests.length, before);
    assert.match((await project.run(["lock"], env)).stdout, /because the lock was changed by hand/);
    assert.equal(await readFile(path, "utf8"), original);
  }
  assert.equal((await project.json(["preview"], env)).error?.code, "CONTAINER_ENGINE_UNAVAILABLE");
});

test("a base whose pin a hand has changed is not built on", async (context) => {
  const asked = await MemoryRegistry.start();
  context.after(() => asked[Symbol.asyncDispose]());
  await push(createSmallBase(), `${asked.host}/${BASE}`);
  await push(imageOf("one"), `${asked.host}/shop/app:1`);
  const project = await createProject(context, `${asked.host}/shop/app:1`);
  const env = { XDG_CACHE_HOME: join(project.dir, "cache") };
  assert.equal((await project.json(["lock"], env)).error, null);
  const lock = await readLock(project);
  // OCI's manifest, called Docker's: what the schema alone lets through.
  const type = "application/vnd.docker.distribution.manifest.v2+json";
  Object.assign(lock.pins.base, { mediaType: type, platformMediaType: type });
  await writeFile(join(project.dir, "polaris.lock"), `${JSON.stringify(lock, null, 2)}\n`);
  for (const args of [["image", "build"], ["preview"]]) {
    const { error } = await project.json(args, env);
    assert.equal(error?.code, "IMAGE_DIGEST_MISMATCH", JSON.stringify(error));
    assert.match(error.message, /: pins\.base\.mediaType, pins\.base\.platformMediaType$/);
  }
});

test("a relative XDG_CACHE_HOME does not count: nothing is kept in the folder of the project", async (context) => {
  const asked = await MemoryRegistry.start();
  context.after(() => asked[Symbol.asyncDispose]());
  await push(createSmallBase(), `${asked.host}/${BASE}`);
  await push(imageOf("one"), `${asked.host}/shop/app:1`);
  const project = await createProject(context, `${asked.host}/shop/app:1`);
  const env = { XDG_CACHE_HOME: "cache", HOME: join(project.dir, "home") };
  assert.equal((await project.json(["lock"], env)).error, null);
  assert.ok(!existsSync(join(project.dir, "cache")));
  const kept = await readdir(join(project.dir, "home/.cache/polaris"));
  assert.deepEqual(kept.toSorted(), ["compile-cache", "images"]);
});

test("a push shows the tag only when image and SBOM are there", async (context) => {
  const watched = await MemoryRegistry.start();
  context.after(() => watched[Symbol.asyncDispose]());
  const { data } = await polaris("image", "build", "--base", "base", "--push", `${watched.host}/proxy:1`);
  const written = watched.requests.filter((line) => line.startsWith("PUT /v2/proxy/manifests/"));
  assert.deepEqual(
    written.map((line) => line.slice("PUT /v2/proxy/manifests/".length)),
    [data.digest, data.pushed.sbomDigest, "1"],
  );
});

test("an image that cannot be written leaves no SBOM", async () => {
  await writeFile(join(folder, "taken"), "");
  const { error } = await polaris("image", "build", "--base", "base", "--output", "layout", "--to", "taken");
  assert.equal(error?.code, "STATE_UNWRITABLE");
  await rm(join(folder, "taken"));
  assert.deepEqual(await readdir(folder), ["base"]);
});

for (const [output, writeOld] of [
  ["layout", (path: string) => writeLayout(imageOf("old"), path, { signal: AbortSignal.timeout(5_000) })],
  ["docker-archive", (path: string) => writeFile(path, "the old one")],
] as const) {
  test(`a ${output} that is replaced never stands beside the SBOM of the old image`, async (context) => {
    const place = await mkdtemp(join(tmpdir(), "polaris-replaced-"));
    context.after(() => rm(place, { recursive: true }));
    const [image, sbom] = [join(place, "image"), join(place, "image.cdx.json")];
    await writeOld(image);
    const build = ["image", "build", "--base", "base", "--output", output, "--to", image];

    // An SBOM that cannot be removed, as a folder cannot, keeps the image that is there.
    const { ino } = await stat(image);
    await mkdir(sbom);
    const { error } = await polaris(...build);
    assert.equal(error?.code, "STATE_UNWRITABLE");
    assert.ok(error.message.includes(`cannot write ${sbom}: `), error.message);
    assert.equal((await stat(image)).ino, ino);

    await rm(sbom, { recursive: true });
    await writeFile(sbom, "the old one");
    const named: string[] = [];
    const watcher = watch(place, (event, name) => {
      if (event === "rename" && name !== null && !name.startsWith(".")) named.push(name);
    });
    context.after(() => watcher.close());
    assert.equal((await polaris(...build)).error, null);
    assert.notEqual(await readFile(sbom, "utf8"), "the old one");
    // The folder of the old layout is moved away before the new one comes.
    const placed = output === "layout" ? ["image", "image"] : ["image"];
    assert.deepEqual(named, ["image.cdx.json", ...placed, "image.cdx.json"]);
  });
}

test("build --push, digest, inspect and sbom tell of one image, and skopeo reads it", { skip }, async () => {
  const reference = `${registry.host}/proxy:1`;
  const built = await polaris("image", "build", "--base", "base", "--push", reference);
  assert.equal(built.error, null);
  const { digest, pushed } = built.data;
  assert.deepEqual([pushed.uploaded, pushed.present, pushed.mounted], [3, 0, 0]);
  assert.equal(pushed.reference, `${registry.host}/proxy@${digest}`);
  const again = await polaris("image", "build", "--base", "base", "--push", reference);
  assert.deepEqual([again.data.pushed.uploaded, again.data.pushed.present], [0, 3]);
  assert.equal(again.data.pushed.sbomDigest, pushed.sbomDigest);

  const printed = await startPolaris(["image", "digest", reference], folder).finished;
  assert.deepEqual([printed.stdout, printed.exitCode], [`${digest}\n`, 0]);
  const named = await polaris("image", "digest", reference, "--index");
  const inspected = await polaris("image", "inspect", reference);
  assert.equal(inspected.data.platformDigest, digest);
  assert.equal(inspected.data.layers.length, 2);
  assert.equal(inspected.data.config.user, "65532:65532");
  const attached = await startPolaris(["image", "sbom", reference], folder).finished;
  const wouldBe = await startPolaris(["image", "sbom", "--base", "base"], folder).finished;
  assert.equal(attached.stdout, wouldBe.stdout);
  const sbom = await polaris("image", "sbom", reference);
  assert.equal(sbom.data.sbom.bomFormat, "CycloneDX");
  for (const [name, { data }] of Object.entries({
    "image build": built,
    "image digest": named,
    "image inspect": inspected,
    "image sbom": sbom,
  })) {
    assert.deepEqual(Object.keys(data).sort(), Object.keys(COMMAND_DATA[name] ?? {}).sort(), name);
  }
  if (!existsSync("/usr/bin/skopeo")) return;
  const { stdout } = await promisify(execFile)("/usr/bin/skopeo", [
    "inspect",
    "--tls-verify=false",
    `docker://${reference}`,
  ]);
  assert.equal(JSON.parse(stdout).Digest, digest);
});

test("build writes a layout or an archive with its SBOM beside it, of the same digest", async () => {
  const layout = await polaris("image", "build", "--base", "base", "--output", "layout");
  const archive = await polaris(
    "image",
    "build",
    "--base",
    "base",
    "--output",
    "docker-archive",
    "--to",
    "b.tar",
  );
  assert.equal(layout.data.output, join(folder, "polaris-proxy"));
  assert.equal(archive.data.output, join(folder, "b.tar"));
  assert.equal(archive.data.digest, layout.data.digest);
  const sboms = [layout, archive].map(({ data }) => readFile(data.sbom, "utf8"));
  assert.equal(await sboms[0], await sboms[1]);
  const written = ["b.tar", "b.tar.cdx.json", "base", "polaris-proxy", "polaris-proxy.cdx.json"];
  assert.deepEqual((await readdir(folder)).sort(), written);
  // What was built can be the base of the next: an image from a folder is one like others.
  const onTop = await polaris("image", "build", "--base", "polaris-proxy");
  assert.equal(onTop.data.base.digest, layout.data.digest);
});

test(
  "in a project the base is what polaris.lock has pinned, wherever its tag points by now",
  { skip },
  async (context) => {
    const reference = `${registry.host}/team/base:1`;
    const pinned = await push(imageOf("pinned"), reference);
    const project = await createProject(context, `${registry.host}/shop/none:1`);
    await writeFile(join(project.dir, "polaris.yaml"), configOf(`${registry.host}/shop/none:1`, reference));
    const unpinned = await project.json(["image", "build"]);
    assert.deepEqual(unpinned.data.base, { reference, digest: pinned });
    assert.ok(!existsSync(join(project.dir, "polaris.lock")));
    const mediaType = "application/vnd.oci.image.manifest.v1+json";
    const pin = {
      digest: pinned,
      mediaType,
      platformDigest: pinned,
      platformMediaType: mediaType,
      reference,
    };
    const lock = { deployed: {}, name: "shop", pins: { base: pin }, stacks: {}, version: 1 };
    await writeFile(join(project.dir, "polaris.lock"), `${JSON.stringify(lock, null, 2)}\n`);
    await push(imageOf("moved"), reference);
    const built = await project.json(["image", "build"]);
    assert.equal(built.error, null);
    assert.deepEqual(built.data.base, { reference, digest: pinned });
    const elsewhere = await polaris("image", "build", "-c", join(project.dir, "polaris.yaml"));
    assert.deepEqual(elsewhere.data.base, { reference, digest: pinned });
  },
);

test("Ctrl-C during a push ends with 8 and leaves no manifest", async (context) => {
  const hanging = await MemoryRegistry.start();
  context.after(() => hanging[Symbol.asyncDispose]());
  const running = startPolaris(
    ["image", "build", "--base", "base", "--push", `${hanging.host}/proxy:1`],
    folder,
  );
  let isInterrupted = false;
  hanging.onRequest = (line) => {
    if (!line.startsWith("PUT ")) return;
    if (!isInterrupted) running.child.kill("SIGINT");
    isInterrupted = true;
    return new Promise(() => {});
  };
  const { exitCode, stdout, stderr } = await running.finished;
  assert.deepEqual([exitCode, stdout], [8, ""], stderr);
  assert.deepEqual([...hanging.manifests.keys()], []);
});

test(
  "a registry with logins takes those of the environment, and nothing prints them",
  { skip },
  async (context) => {
    const closed = await startRegistry("htpasswd");
    context.after(() => closed.stop());
    const reference = `${closed.host}/proxy:1`;
    const login = (password: string) => ({
      POLARIS_REGISTRY: closed.host,
      POLARIS_REGISTRY_USERNAME: ACCOUNT.username,
      POLARIS_REGISTRY_PASSWORD: password,
    });
    const build = ["image", "build", "--base", "base", "--push", reference, "--debug"];
    const stranger = await startPolaris(build, folder).finished;
    assert.equal(stranger.exitCode, 3, stranger.stderr);
    const wrong = await startPolaris(build, folder, login("planted-Wrong-Passw0rd")).finished;
    assert.equal(wrong.exitCode, 3, wrong.stderr);
    const right = await startPolaris(build, folder, login(ACCOUNT.password)).finished;
    assert.equal(right.exitCode, 0, right.stderr);
    for (const { stdout, stderr } of [stranger, wrong, right])
      assert.doesNotMatch(stdout + stderr, /planted/);
  },
);
