import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { MemoryRegistry } from "../testing/memory-registry.ts";
import { rejection } from "../testing/planted-secrets.ts";
import { REGISTRY_MISSING, startRegistry } from "../testing/registry-fixture.ts";
import { createSmallBase } from "../testing/small-base.ts";
import { parseImageReference } from "./image-reference.ts";
import { writeLayout } from "./layout.ts";
import {
  digestOf,
  DOCKER_CONFIG,
  DOCKER_INDEX,
  DOCKER_MANIFEST,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER_GZIP,
  OCI_MANIFEST,
} from "./manifest.ts";
import type { Descriptor } from "./manifest.ts";
import { createRegistryClient } from "./registry/registry-client.ts";
import { resolveImage } from "./resolve-image.ts";
import type { ResolvedImage } from "./resolve-image.ts";

const DIFF_ID = `sha256:${"d".repeat(64)}`;

async function resolve(context: TestContext, reference: string): Promise<ResolvedImage> {
  const client = createRegistryClient({ retryDelaysMs: [] });
  context.after(() => client.close());
  return await resolveImage(parseImageReference(reference), client, AbortSignal.timeout(8_000));
}

async function startMemoryRegistry(context: TestContext): Promise<MemoryRegistry> {
  const registry = await MemoryRegistry.start();
  context.after(() => registry[Symbol.asyncDispose]());
  return registry;
}

interface Parts {
  readonly os?: string;
  readonly architecture?: string;
  readonly tag?: string;
  readonly config?: Partial<Descriptor>;
  readonly layer?: Partial<Descriptor>;
  readonly more?: object;
  readonly mediaType?: string;
}

/** An image of one layer, of which any part can be another; the layer's bytes are nowhere. */
function addImage(registry: MemoryRegistry, parts: Parts = {}): Descriptor {
  const { os = "linux", architecture = "amd64", mediaType = OCI_MANIFEST } = parts;
  const document = {
    os,
    architecture,
    config: { Cmd: [architecture] },
    rootfs: { type: "layers", diff_ids: [DIFF_ID] },
  };
  const config = {
    ...registry.addBlob("app", Buffer.from(JSON.stringify(document)), OCI_CONFIG),
    ...parts.config,
  };
  const layer = { mediaType: OCI_LAYER_GZIP, digest: DIFF_ID, size: 10, ...parts.layer };
  const manifest = { schemaVersion: 2, mediaType, config, layers: [layer], ...parts.more };
  return registry.addManifest("app", manifest, mediaType, parts.tag);
}

function entry(image: Descriptor, os: string, architecture: string, variant?: string): object {
  return { ...image, platform: { os, architecture, ...(variant !== undefined && { variant }) } };
}

function addIndex(registry: MemoryRegistry, manifests: readonly object[], mediaType = OCI_INDEX): Descriptor {
  return registry.addManifest("app", { schemaVersion: 2, mediaType, manifests }, mediaType, "1");
}

test("a plain image is its own platform, and says how it is run", async (context) => {
  const registry = await startMemoryRegistry(context);
  const image = addImage(registry, { tag: "1" });
  const resolved = await resolve(context, `${registry.host}/app:1`);
  assert.equal(resolved.reference, `${registry.host}/app:1`);
  assert.equal(resolved.digest, image.digest);
  assert.equal(resolved.platformDigest, image.digest);
  assert.equal(resolved.mediaType, OCI_MANIFEST);
  assert.deepEqual(resolved.config.cmd, ["amd64"]);
  assert.deepEqual(resolved.config.diffIds, [DIFF_ID]);
  assert.deepEqual(
    registry.requests.filter((line) => line.includes(DIFF_ID)),
    [],
    "no layer is read",
  );
});

for (const mediaType of [OCI_INDEX, DOCKER_INDEX]) {
  test(`of an index (${mediaType}) it is the image for linux/amd64, never an attestation`, async (context) => {
    const registry = await startMemoryRegistry(context);
    const arm = addImage(registry, { architecture: "arm64" });
    const amd = addImage(registry);
    const index = addIndex(
      registry,
      [
        entry(addImage(registry, { more: { annotations: { "in-toto": "1" } } }), "unknown", "unknown"),
        entry(arm, "linux", "arm64", "v8"),
        entry(addImage(registry, { os: "windows" }), "windows", "amd64"),
        entry(amd, "linux", "amd64"),
      ],
      mediaType,
    );
    const resolved = await resolve(context, `${registry.host}/app:1@${index.digest}`);
    assert.equal(resolved.reference, `${registry.host}/app:1@${index.digest}`);
    assert.deepEqual([resolved.digest, resolved.mediaType], [index.digest, mediaType]);
    assert.deepEqual([resolved.platformDigest, resolved.platformMediaType], [amd.digest, OCI_MANIFEST]);
  });
}

test("of several images for linux/amd64 it is the one that runs on every such machine", async (context) => {
  const registry = await startMemoryRegistry(context);
  const images = ["v4", "v3", "v1", "v2"].map((variant) => ({
    variant,
    image: addImage(registry, { more: { annotations: { variant } } }),
  }));
  addIndex(
    registry,
    images.map(({ variant, image }) => entry(image, "linux", "amd64", variant)),
  );
  const first = await resolve(context, `${registry.host}/app:1`);
  assert.equal(first.platformDigest, images[2]?.image.digest);
  const plain = addImage(registry);
  addIndex(registry, [
    ...images.map(({ variant, image }) => entry(image, "linux", "amd64", variant)),
    entry(plain, "linux", "amd64"),
  ]);
  const second = await resolve(context, `${registry.host}/app:1`);
  assert.equal(second.platformDigest, plain.digest);
});

const TEN_GIB = 10 * 1024 ** 3;

const REFUSED: Readonly<
  Record<
    string,
    { readonly code: string; readonly message: RegExp; readonly add: (registry: MemoryRegistry) => void }
  >
> = {
  "an image for another architecture only": {
    code: "IMAGE_PLATFORM_MISSING",
    message: /there is no image for linux\/amd64, only for linux\/arm64/,
    add: (registry) => addImage(registry, { architecture: "arm64", tag: "1" }),
  },
  "an index without one for linux/amd64": {
    code: "IMAGE_PLATFORM_MISSING",
    message: /only for linux\/arm64, windows\/amd64/,
    add: (registry) => {
      const image = addImage(registry);
      addIndex(registry, [
        entry(image, "linux", "arm64"),
        entry(image, "windows", "amd64"),
        entry(image, "unknown", "unknown"),
      ]);
    },
  },
  "an empty index": {
    code: "IMAGE_PLATFORM_MISSING",
    message: /only for no platform at all/,
    add: (registry) => addIndex(registry, []),
  },
  "an index that calls an image for arm64 one for amd64": {
    code: "IMAGE_PLATFORM_MISSING",
    message: /only for linux\/arm64/,
    add: (registry) =>
      addIndex(registry, [entry(addImage(registry, { architecture: "arm64" }), "linux", "amd64")]),
  },
  "an index that says another length of the image": {
    code: "IMAGE_INVALID",
    message: /has another kind or length than the index says/,
    add: (registry) => addIndex(registry, [entry({ ...addImage(registry), size: 5 }, "linux", "amd64")]),
  },
  "an index that says another kind of the image": {
    code: "IMAGE_INVALID",
    message: /has another kind or length than the index says/,
    add: (registry) =>
      addIndex(registry, [entry({ ...addImage(registry), mediaType: DOCKER_MANIFEST }, "linux", "amd64")]),
  },
  "a manifest that is announced with 10 GiB": {
    code: "IMAGE_TOO_LARGE",
    message: /10737418240 bytes/,
    add: (registry) =>
      addIndex(registry, [entry({ ...addImage(registry), size: TEN_GIB }, "linux", "amd64")]),
  },
  "a configuration that is announced with 10 GiB": {
    code: "IMAGE_TOO_LARGE",
    message: /the image's configuration is announced with 10737418240 bytes; 4194304 is the most/,
    add: (registry) => addImage(registry, { tag: "1", config: { size: TEN_GIB } }),
  },
  "a configuration that is longer than announced": {
    code: "IMAGE_DIGEST_MISMATCH",
    message: /sha256:/,
    add: (registry) => addImage(registry, { tag: "1", config: { size: 10 } }),
  },
  "a layer of Docker that is somewhere else": {
    code: "IMAGE_INVALID",
    message: /layer sha256:d+ is foreign/,
    add: (registry) =>
      addImage(registry, {
        tag: "1",
        layer: { mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" },
      }),
  },
  "a layer of OCI that nobody may distribute": {
    code: "IMAGE_INVALID",
    message: /layer sha256:d+ is foreign/,
    add: (registry) =>
      addImage(registry, {
        tag: "1",
        layer: { mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip" },
      }),
  },
  "an ordinary layer with an address elsewhere": {
    code: "IMAGE_INVALID",
    message: /layer sha256:d+ is foreign/,
    add: (registry) => addImage(registry, { tag: "1", layer: { urls: ["https://example.com/layer"] } }),
  },
  "a layer that nobody can unpack": {
    code: "IMAGE_INVALID",
    message: /of an unknown kind, "application\/x-rar"/,
    add: (registry) => addImage(registry, { tag: "1", layer: { mediaType: "application/x-rar" } }),
  },
  "an artefact that is no image": {
    code: "IMAGE_INVALID",
    message: /it is no image to run, but of the kind "application\/vnd\.cncf\.helm\.config\.v1\+json"/,
    add: (registry) =>
      addImage(registry, { tag: "1", config: { mediaType: "application/vnd.cncf.helm.config.v1+json" } }),
  },
  "a manifest that calls itself something else than its header does": {
    code: "IMAGE_INVALID",
    message: /manifest calls itself application\/vnd\.docker\S+, expected "application\/vnd\.oci/,
    add: (registry) => addImage(registry, { tag: "1", more: { mediaType: DOCKER_MANIFEST } }),
  },
  "an index that calls itself something else than its header does": {
    code: "IMAGE_INVALID",
    message: /index calls itself application\/vnd\.docker\S+, expected "application\/vnd\.oci/,
    add: (registry) => {
      const manifests = [entry(addImage(registry), "linux", "amd64")];
      registry.addManifest("app", { schemaVersion: 2, mediaType: DOCKER_INDEX, manifests }, OCI_INDEX, "1");
    },
  },
  "a document that is image and index at once": {
    code: "IMAGE_INVALID",
    message: /the image's manifest is not one: manifests is wrong/,
    add: (registry) => addImage(registry, { tag: "1", more: { manifests: [] } }),
  },
  "more layers than the configuration knows": {
    code: "IMAGE_INVALID",
    message: /the image has 2 layers, and its configuration tells of 1/,
    add: (registry) => {
      const layer = { mediaType: OCI_LAYER_GZIP, digest: DIFF_ID, size: 10 };
      addImage(registry, { tag: "1", more: { layers: [layer, layer] } });
    },
  },
};

for (const [what, { code, message, add }] of Object.entries(REFUSED)) {
  test(`refuses ${what}, by the name that was asked for`, async (context) => {
    const registry = await startMemoryRegistry(context);
    add(registry);
    const started = process.memoryUsage().rss;
    await assert.rejects(resolve(context, `${registry.host}/app:1`), (error: Error & { code?: string }) => {
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      assert.ok(error.message.includes(registry.host), error.message);
      return true;
    });
    assert.ok(process.memoryUsage().rss - started < 100 * 1024 * 1024);
  });
}

test("what is not JSON is refused, and nothing of it is told", async (context) => {
  const registry = await startMemoryRegistry(context);
  registry.manifests.set("app 1", { bytes: Buffer.from('{"pl4nt3d"'), mediaType: OCI_MANIFEST });
  const error = await rejection(resolve(context, `${registry.host}/app:1`));
  assert.equal(error.code, "IMAGE_INVALID");
  assert.match(error.message, /manifest is not JSON$/);
});

test("what is not there is not found", async (context) => {
  const registry = await startMemoryRegistry(context);
  await assert.rejects(resolve(context, `${registry.host}/app:1`), { code: "IMAGE_NOT_FOUND" });
  const missing = `sha256:${"0".repeat(64)}`;
  addIndex(registry, [entry({ mediaType: OCI_MANIFEST, digest: missing, size: 500 }, "linux", "amd64")]);
  await assert.rejects(resolve(context, `${registry.host}/app:1`), { code: "IMAGE_NOT_FOUND" });
});

const SKOPEO = "/usr/bin/skopeo";
const skip = REGISTRY_MISSING || (existsSync(SKOPEO) ? false : "skopeo is not installed here");

const PUSHED = [
  {
    what: "an OCI image",
    args: ["--format", "oci"],
    manifest: OCI_MANIFEST,
    config: OCI_CONFIG,
    layer: OCI_LAYER_GZIP,
  },
  {
    what: "an image of Docker's schema 2",
    args: ["--format", "v2s2"],
    manifest: DOCKER_MANIFEST,
    config: DOCKER_CONFIG,
    layer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  },
  {
    what: "an image with zstd layers",
    args: ["--format", "oci", "--dest-compress-format", "zstd", "--dest-compress"],
    manifest: OCI_MANIFEST,
    config: OCI_CONFIG,
    layer: "application/vnd.oci.image.layer.v1.tar+zstd",
  },
] as const;

for (const { what, args, manifest, config, layer } of PUSHED) {
  test(`reads ${what} that skopeo has pushed to docker-registry`, { skip }, async (context) => {
    const folder = await mkdtemp(join(tmpdir(), "polaris-resolve-"));
    context.after(() => rm(folder, { recursive: true }));
    const registry = await startRegistry();
    context.after(() => registry.stop());
    await writeLayout(createSmallBase(), join(folder, "layout"), { signal: context.signal });
    const run = promisify(execFile);
    await run(SKOPEO, [
      "--insecure-policy",
      "copy",
      "--dest-tls-verify=false",
      ...args,
      `oci:${join(folder, "layout")}`,
      `docker://${registry.host}/team/app:1`,
    ]);
    const { stdout } = await run(SKOPEO, [
      "inspect",
      "--tls-verify=false",
      "--raw",
      `docker://${registry.host}/team/app:1`,
    ]);
    const resolved = await resolve(context, `${registry.host}/team/app:1`);
    assert.equal(resolved.digest, digestOf(Buffer.from(stdout)));
    assert.equal(resolved.platformDigest, resolved.digest);
    assert.equal(resolved.mediaType, manifest);
    assert.equal(resolved.image.config.mediaType, config);
    assert.deepEqual(
      resolved.image.layers.map(({ mediaType }) => mediaType),
      [layer],
    );
    assert.equal(resolved.config.user, "node");
    assert.deepEqual(resolved.config.labels, { "com.example.base": "yes" });
  });
}
