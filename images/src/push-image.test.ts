import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { MemoryRegistry } from "../testing/memory-registry.ts";
import { REGISTRY_MISSING, startRegistry } from "../testing/registry-fixture.ts";
import { createSmallBase } from "../testing/small-base.ts";
import type { Image } from "./image.ts";
import { parseImageReference } from "./image-reference.ts";
import { DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "./manifest.ts";
import { pushImage } from "./push-image.ts";
import type { PushCounts } from "./push-image.ts";
import { CYCLONEDX_JSON, pushReferrer, readReferrer } from "./referrer.ts";
import { createRegistryClient } from "./registry/registry-client.ts";
import type { RegistryClient } from "./registry/registry-client.ts";
import { resolveImage } from "./resolve-image.ts";

function createClient(context: TestContext): RegistryClient {
  const client = createRegistryClient({ retryDelaysMs: [] });
  context.after(() => client.close());
  return client;
}

async function startMemoryRegistry(context: TestContext): Promise<MemoryRegistry> {
  const registry = await MemoryRegistry.start();
  context.after(() => registry[Symbol.asyncDispose]());
  return registry;
}

function push(
  context: TestContext,
  image: Image,
  reference: string,
  more: { readonly mountFrom?: string; readonly signal?: AbortSignal } = {},
): Promise<PushCounts> {
  const { tag, digest: _, ...repository } = parseImageReference(reference);
  return pushImage(image, {
    registry: createClient(context),
    repository,
    tag,
    signal: context.signal,
    onProgress: () => {},
    ...more,
  });
}

const subjectOf = ({ manifest }: Image) => ({
  mediaType: manifest.mediaType,
  digest: manifest.digest,
  size: manifest.bytes.length,
});

test("pushes layers and configuration, and last of all the manifest", async (context) => {
  const registry = await startMemoryRegistry(context);
  const image = createSmallBase();
  const counts = await push(context, image, `${registry.host}/app:1`);
  assert.deepEqual(counts, { present: 0, mounted: 0, uploaded: 2 });
  assert.equal(registry.requests.at(-1), "PUT /v2/app/manifests/1");
  const client = createClient(context);
  const resolved = await resolveImage(parseImageReference(`${registry.host}/app:1`), client, context.signal);
  assert.equal(resolved.digest, image.manifest.digest);
});

test("uploads nothing when everything is there", async (context) => {
  const registry = await startMemoryRegistry(context);
  const image = createSmallBase();
  await push(context, image, `${registry.host}/app:1`);
  registry.requests.length = 0;
  assert.deepEqual(await push(context, image, `${registry.host}/app:1`), {
    present: 2,
    mounted: 0,
    uploaded: 0,
  });
  assert.deepEqual(
    registry.requests.filter((line) => !line.startsWith("HEAD ")),
    [],
  );
});

test("takes layers from the repository of the base without uploading them", async (context) => {
  const registry = await startMemoryRegistry(context);
  const image = createSmallBase();
  await push(context, image, `${registry.host}/base:1`);
  const counts = await push(context, image, `${registry.host}/app:1`, { mountFrom: "base" });
  assert.deepEqual(counts, { present: 0, mounted: 2, uploaded: 0 });
});

test("when it is cut off in the middle there is no manifest, and the next push makes it whole", async (context) => {
  const registry = await startMemoryRegistry(context);
  const image = createSmallBase();
  const stop = new AbortController();
  registry.onRequest = (line) => {
    if (!line.startsWith("PUT /v2/app/blobs/")) return;
    stop.abort(new Error("Ctrl-C"));
    return new Promise(() => {});
  };
  await assert.rejects(push(context, image, `${registry.host}/app:1`, { signal: stop.signal }), /Ctrl-C/);
  assert.deepEqual([...registry.manifests.keys()], []);
  assert.ok(registry.requests.every((line) => !line.includes("/manifests/")));
  registry.onRequest = () => {};
  await push(context, image, `${registry.host}/app:1`);
  assert.ok(registry.manifests.has("app 1"));
});

test("a blob that cannot be read leaves no manifest, and is what is told", async (context) => {
  const registry = await startMemoryRegistry(context);
  const base = createSmallBase();
  const image: Image = {
    ...base,
    // eslint-disable-next-line require-yield -- it breaks off before the first byte
    async *openBlob(blob, signal) {
      if (blob.digest === base.layers[0]?.digest) throw new Error("the disk is gone");
      yield* base.openBlob(blob, signal);
    },
  };
  await assert.rejects(push(context, image, `${registry.host}/app:1`), /the disk is gone/);
  assert.deepEqual([...registry.manifests.keys()], []);
});

test("refuses an image with foreign layers before anything is sent", async (context) => {
  const registry = await startMemoryRegistry(context);
  const image = createSmallBase({ layerType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" });
  await assert.rejects(push(context, image, `${registry.host}/app:1`), { code: "IMAGE_INVALID" });
  assert.deepEqual(registry.requests, []);
});

test("attaches a document by the referrers API, once however often", async (context) => {
  const registry = await startMemoryRegistry(context);
  const image = createSmallBase();
  await push(context, image, `${registry.host}/app:1`);
  const client = createClient(context);
  const repository = { registry: registry.host, repository: "app" };
  const options = { registry: client, repository, subject: subjectOf(image), signal: context.signal };
  const document = { mediaType: CYCLONEDX_JSON, bytes: Buffer.from('{"bomFormat":"CycloneDX"}') };
  const digest = await pushReferrer(document, options);
  assert.equal(await pushReferrer(document, options), digest);
  const listed = await client.listReferrers(repository, image.manifest.digest, context.signal);
  assert.deepEqual(
    listed.map((entry) => [entry.digest, entry.artifactType]),
    [[digest, CYCLONEDX_JSON]],
  );
  const manifest = JSON.parse(Buffer.from(registry.manifests.get(`app ${digest}`)!.bytes).toString());
  assert.equal(manifest.artifactType, CYCLONEDX_JSON);
  assert.equal(manifest.config.mediaType, "application/vnd.oci.empty.v1+json");
  assert.deepEqual(manifest.subject, subjectOf(image));
  // A registry that knows of referrers needs no index under a tag.
  assert.ok(!registry.manifests.has(`app ${image.manifest.digest.replace(":", "-")}`));
  const found = await readReferrer(CYCLONEDX_JSON, { ...options, subject: image.manifest.digest });
  assert.deepEqual(Buffer.from(found!), document.bytes);
  assert.equal(await readReferrer("text/spdx", { ...options, subject: image.manifest.digest }), undefined);
});

test("a registry that lists a document by itself is not asked for the list, and gets no tag", async (context) => {
  const registry = await startMemoryRegistry(context);
  const image = createSmallBase();
  const repository = { registry: registry.host, repository: "app" };
  // As one that takes its time until its list has the new entry.
  registry.onRequest = (line) => {
    assert.ok(!line.includes("/referrers/") && !line.includes("sha256-"), line);
  };
  const document = { mediaType: CYCLONEDX_JSON, bytes: Buffer.from("{}") };
  const digest = await pushReferrer(document, {
    registry: createClient(context),
    repository,
    subject: subjectOf(image),
    signal: context.signal,
  });
  assert.deepEqual([...registry.manifests.keys()], [`app ${digest}`]);
});

test("a registry that lists nothing by itself gets the tag, whatever its list has already", async (context) => {
  const registry = await startMemoryRegistry(context);
  registry.knowsReferrers = false;
  const image = createSmallBase();
  const client = createClient(context);
  const repository = { registry: registry.host, repository: "app" };
  const options = { registry: client, repository, subject: subjectOf(image), signal: context.signal };
  const document = { mediaType: CYCLONEDX_JSON, bytes: Buffer.from("{}") };
  const tag = `app ${image.manifest.digest.replace(":", "-")}`;
  const foreign = {
    mediaType: OCI_MANIFEST,
    digest: `sha256:${"1".repeat(64)}`,
    size: 1,
    "x-vendor": "kept",
  };
  registry.addManifest(
    "app",
    { schemaVersion: 2, manifests: [foreign] },
    OCI_INDEX,
    tag.slice("app ".length),
  );
  const digest = await pushReferrer(document, options);
  const size = registry.manifests.get(`app ${digest}`)!.bytes.length;
  const entry = { mediaType: OCI_MANIFEST, digest, size, artifactType: CYCLONEDX_JSON };
  const { manifests } = JSON.parse(Buffer.from(registry.manifests.get(tag)!.bytes).toString());
  assert.deepEqual(manifests, [foreign, entry]);
  registry.requests.length = 0;
  await pushReferrer(document, options);
  assert.deepEqual(
    registry.requests.filter((line) => line.startsWith("PUT ")),
    [`PUT /v2/app/manifests/${digest}`],
  );
});

const SUBJECTS: readonly (readonly [header: string, code: string])[] = [
  [`sha256:${"2".repeat(64)}`, "IMAGE_DIGEST_MISMATCH"],
  ["yes", "REGISTRY_FAILED"],
];

for (const [header, code] of SUBJECTS) {
  test(`a registry that lists a document for ${header} ends with ${code}`, async (context) => {
    const registry = await startMemoryRegistry(context);
    registry.subjectHeader = header;
    const pushing = pushReferrer(
      { mediaType: CYCLONEDX_JSON, bytes: Buffer.from("{}") },
      {
        registry: createClient(context),
        repository: { registry: registry.host, repository: "app" },
        subject: subjectOf(createSmallBase()),
        signal: context.signal,
      },
    );
    await assert.rejects(pushing, { code });
  });
}

test("refuses an attached document that is announced with 10 GiB, or is none", async (context) => {
  const registry = await startMemoryRegistry(context);
  const image = createSmallBase();
  const client = createClient(context);
  const repository = { registry: registry.host, repository: "app" };
  const attach = (layers: readonly object[]): void => {
    const config = registry.addBlob("app", Buffer.from("{}"), "application/vnd.oci.empty.v1+json");
    const members = {
      schemaVersion: 2,
      artifactType: CYCLONEDX_JSON,
      config,
      layers,
      subject: subjectOf(image),
    };
    registry.manifests.clear();
    registry.addManifest("app", members, "application/vnd.oci.image.manifest.v1+json");
  };
  const read = () =>
    readReferrer(CYCLONEDX_JSON, {
      registry: client,
      repository,
      subject: image.manifest.digest,
      signal: context.signal,
    });
  const layer = { mediaType: CYCLONEDX_JSON, digest: `sha256:${"0".repeat(64)}`, size: 10 * 1024 ** 3 };
  attach([layer]);
  await assert.rejects(read(), { code: "IMAGE_TOO_LARGE" });
  attach([]);
  await assert.rejects(read(), { code: "IMAGE_INVALID" });
  attach([{ ...layer, size: 1, mediaType: "text/html" }]);
  await assert.rejects(read(), { code: "IMAGE_INVALID" });
});

test("refuses an attached document of another image, or one that is not what the list says", async (context) => {
  const registry = await startMemoryRegistry(context);
  const [image, other] = [createSmallBase(), createSmallBase({ env: ["OTHER=yes"] })];
  const repository = { registry: registry.host, repository: "app" };
  const place = { registry: createClient(context), repository, signal: context.signal };
  const document = { mediaType: CYCLONEDX_JSON, bytes: Buffer.from('{"bomFormat":"CycloneDX"}') };
  const digest = await pushReferrer(document, { ...place, subject: subjectOf(other) });
  const size = registry.manifests.get(`app ${digest}`)!.bytes.length;
  const honest = { mediaType: OCI_MANIFEST, digest, size, artifactType: CYCLONEDX_JSON };
  const lies = [
    [
      honest,
      new RegExp(
        `${digest} is listed as attached to ${image.manifest.digest}, and is about ${other.manifest.digest}$`,
      ),
    ],
    [{ ...honest, size: size + 1 }, /has another kind or length than the list of referrers/],
    [{ ...honest, mediaType: DOCKER_MANIFEST }, /has another kind or length than the list of referrers/],
  ] as const;
  for (const [lie, message] of lies) {
    registry.listed.splice(0, Infinity, lie);
    const reading = readReferrer(CYCLONEDX_JSON, { ...place, subject: image.manifest.digest });
    await assert.rejects(reading, { code: "IMAGE_INVALID", message });
  }
  const unattached = registry.addManifest(
    "app",
    { schemaVersion: 2, config: honest, layers: [] },
    OCI_MANIFEST,
  );
  registry.listed.splice(0, Infinity, { ...unattached, artifactType: CYCLONEDX_JSON });
  await assert.rejects(readReferrer(CYCLONEDX_JSON, { ...place, subject: image.manifest.digest }), {
    code: "IMAGE_INVALID",
    message: /and is about no image$/,
  });
});

const SKOPEO = "/usr/bin/skopeo";
const skip = REGISTRY_MISSING || (existsSync(SKOPEO) ? false : "skopeo is not installed here");

test("docker-registry keeps image and SBOM, and skopeo reads both", { skip }, async (context) => {
  const registry = await startRegistry();
  context.after(() => registry.stop());
  const image = createSmallBase();
  const reference = `${registry.host}/team/app:1`;
  assert.deepEqual(await push(context, image, reference), { present: 0, mounted: 0, uploaded: 2 });
  assert.deepEqual(await push(context, image, reference), { present: 2, mounted: 0, uploaded: 0 });
  assert.deepEqual(await push(context, image, `${registry.host}/other:1`, { mountFrom: "team/app" }), {
    present: 0,
    mounted: 2,
    uploaded: 0,
  });

  // It knows of no referrers: two documents have to be in the index under the tag.
  const client = createClient(context);
  const repository = { registry: registry.host, repository: "team/app" };
  const options = { registry: client, repository, subject: subjectOf(image), signal: context.signal };
  const other = { mediaType: "application/spdx+json", bytes: Buffer.from("{}") };
  const document = { mediaType: CYCLONEDX_JSON, bytes: Buffer.from('{"bomFormat":"CycloneDX"}') };
  const digests = [await pushReferrer(other, options), await pushReferrer(document, options)];
  await pushReferrer(document, options);
  const listed = await client.listReferrers(repository, image.manifest.digest, context.signal);
  assert.deepEqual(
    listed.map(({ digest }) => digest),
    digests,
  );
  const found = await readReferrer(CYCLONEDX_JSON, { ...options, subject: image.manifest.digest });
  assert.deepEqual(Buffer.from(found!), document.bytes);

  const run = promisify(execFile);
  const inspect = async (name: string): Promise<string> => {
    const { stdout } = await run(SKOPEO, ["inspect", "--tls-verify=false", "--raw", `docker://${name}`]);
    return stdout;
  };
  assert.equal(await inspect(reference), Buffer.from(image.manifest.bytes).toString());
  const tagged = await inspect(`${registry.host}/team/app:${image.manifest.digest.replace(":", "-")}`);
  assert.deepEqual(
    JSON.parse(tagged).manifests.map(({ digest }: { digest: string }) => digest),
    digests,
  );
});
