import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { collect } from "../testing/blob-bytes.ts";
import { MemoryRegistry } from "../testing/memory-registry.ts";
import { createSmallBase } from "../testing/small-base.ts";
import { parseImageReference } from "./image-reference.ts";
import { openKeptImages } from "./kept-images.ts";
import { createKeepingReader, createKeptReader, NO_REGISTRY } from "./kept-reader.ts";
import { OCI_INDEX, OCI_MANIFEST } from "./manifest.ts";
import { createRegistryClient } from "./registry/registry-client.ts";
import { resolveImage } from "./resolve-image.ts";

const { signal } = new AbortController();

/** An index with one image for linux/amd64, in a registry under a tag, and a folder to keep things in. */
async function start(context: TestContext, { mediaType }: { readonly mediaType?: string | undefined }) {
  const registry = await MemoryRegistry.start();
  const client = createRegistryClient();
  const folder = await mkdtemp(join(tmpdir(), "polaris-kept-"));
  context.after(async () => {
    await client.close();
    await registry[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });
  const image = createSmallBase();
  for (const { digest, mediaType: type } of [image.config, ...image.layers]) {
    registry.addBlob("app", await collect(image, { digest, mediaType: type, size: 0 }), type);
  }
  const document = { schemaVersion: 2, config: image.config, layers: image.layers };
  const manifest = registry.addManifest(
    "app",
    { ...document, ...(mediaType && { mediaType }) },
    OCI_MANIFEST,
  );
  const platform = { os: "linux", architecture: "amd64" };
  const index = registry.addManifest(
    "app",
    { schemaVersion: 2, manifests: [{ ...manifest, platform }] },
    OCI_INDEX,
    "1",
  );
  const kept = openKeptImages(folder);
  const tagged = parseImageReference(`${registry.host}/app:1`);
  return { registry, client, folder, kept, tagged, pinned: { ...tagged, digest: index.digest } };
}

test("index, manifest and configuration are asked for once; a layer each time", async (context) => {
  for (const mediaType of [OCI_MANIFEST, undefined]) {
    const { registry, client, folder, kept, tagged, pinned } = await start(context, { mediaType });
    const first = await resolveImage(tagged, createKeepingReader(kept, client), signal);
    assert.equal((await readdir(folder)).length, 3);
    const asked = registry.requests.length;
    const again = await resolveImage(pinned, createKeptReader(kept, client), signal);
    const offline = await resolveImage(pinned, createKeptReader(kept, NO_REGISTRY), signal);
    assert.equal(registry.requests.length, asked);
    for (const { digest, platformDigest, config, mediaType: type, platformMediaType } of [again, offline]) {
      assert.deepEqual(
        [digest, platformDigest, config, type, platformMediaType],
        [first.digest, first.platformDigest, first.config, first.mediaType, first.platformMediaType],
      );
    }
    const [layer] = again.image.layers;
    assert.ok(layer !== undefined);
    await collect(again.image, layer);
    assert.equal(registry.requests.length, asked + 1);
    assert.equal((await readdir(folder)).length, 3);
  }
});

test("a tag is asked for each time, and so is a digest by whoever wants to know that it is there", async (context) => {
  const { registry, client, kept, tagged, pinned } = await start(context, { mediaType: OCI_MANIFEST });
  await resolveImage(tagged, createKeepingReader(kept, client), signal);
  for (const [reference, reader] of [
    [tagged, createKeptReader(kept, client)],
    [pinned, createKeepingReader(kept, client)],
  ] as const) {
    const asked = registry.requests.length;
    await resolveImage(reference, reader, signal);
    assert.ok(registry.requests.length > asked);
  }
});

test("what is not kept is not found without a registry", async (context) => {
  const { folder, kept, client, tagged, pinned } = await start(context, { mediaType: OCI_MANIFEST });
  const offline = createKeptReader(kept, NO_REGISTRY);
  await assert.rejects(resolveImage(pinned, offline, signal), { code: "IMAGE_NOT_FOUND" });
  const { image } = await resolveImage(tagged, createKeepingReader(kept, client), signal);
  await rm(join(folder, image.config.digest.slice("sha256:".length)));
  await assert.rejects(resolveImage(pinned, offline, signal), { code: "IMAGE_NOT_FOUND" });
});
