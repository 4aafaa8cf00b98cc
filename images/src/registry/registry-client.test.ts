import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { rejection } from "../../testing/planted-secrets.ts";
import { ACCOUNT, REGISTRY_MISSING, startRegistry } from "../../testing/registry-fixture.ts";
import type { RegistryAuth, RunningRegistry } from "../../testing/registry-fixture.ts";
import { IDENTITY_TOKEN } from "../../testing/token-server.ts";
import type { ManifestBytes } from "../image.ts";
import { digestOf, OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST } from "../manifest.ts";
import type { Descriptor } from "../manifest.ts";
import type { CredentialSource } from "./credentials.ts";
import { createRegistryClient } from "./registry-client.ts";
import type { RegistryClient } from "./registry-client.ts";

const signal = AbortSignal.timeout(60_000);

const PIECE_BYTES = 64 * 1024;

async function* streamOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += PIECE_BYTES) {
    yield bytes.subarray(start, start + PIECE_BYTES);
  }
}

function describeBytes(bytes: Uint8Array, mediaType: string = OCI_LAYER_GZIP): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

function encodeManifest(mediaType: string, document: object): ManifestBytes {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...document }));
  return { bytes, mediaType, digest: digestOf(bytes) };
}

async function pushSmallImage(
  client: RegistryClient,
  registry: string,
  repository: string,
  tag: string,
): Promise<{ readonly manifest: ManifestBytes; readonly layer: Uint8Array }> {
  const name = { registry, repository };
  const layer = randomBytes(300_000);
  const config = Buffer.from(JSON.stringify({ os: "linux", architecture: "amd64" }));
  for (const bytes of [layer, config]) {
    await client.writeBlob(name, describeBytes(bytes), () => streamOf(bytes), { signal });
  }
  const manifest = encodeManifest(OCI_MANIFEST, {
    config: describeBytes(config, OCI_CONFIG),
    layers: [describeBytes(layer)],
  });
  await client.writeManifest(name, manifest, tag, signal);
  return { manifest, layer };
}

const LOGIN: CredentialSource = { find: async () => ({ kind: "password", ...ACCOUNT }) };

for (const auth of ["none", "htpasswd", "token"] as const satisfies readonly RegistryAuth[]) {
  describe(`a registry with auth: ${auth}`, { skip: REGISTRY_MISSING }, () => {
    let registry: RunningRegistry;
    let client: RegistryClient;

    before(async () => {
      registry = await startRegistry(auth);
      client = createRegistryClient({ ...(auth !== "none" && { credentials: LOGIN }), retryDelaysMs: [] });
    });
    after(async () => {
      await client.close();
      await registry.stop();
    });

    test("keeps a blob, gives it back, and is not sent it again", async () => {
      const name = { registry: registry.host, repository: "team/app" };
      const bytes = randomBytes(3_000_000);
      const blob = describeBytes(bytes);
      assert.equal(await client.hasBlob(name, blob.digest, signal), false);
      assert.equal(await client.writeBlob(name, blob, () => streamOf(bytes), { signal }), "uploaded");
      assert.equal(await client.hasBlob(name, blob.digest, signal), true);
      const opened = (): never => assert.fail("read although the registry has it");
      assert.equal(await client.writeBlob(name, blob, opened, { signal }), "present");
      const back = Buffer.concat(await Array.fromAsync(client.readBlob(name, blob, signal)));
      assert.ok(back.equals(bytes));
    });

    test("keeps an empty blob", async () => {
      const name = { registry: registry.host, repository: "team/empty" };
      const blob = describeBytes(new Uint8Array());
      assert.equal(
        await client.writeBlob(name, blob, () => streamOf(new Uint8Array()), { signal }),
        "uploaded",
      );
      assert.deepEqual(await Array.fromAsync(client.readBlob(name, blob, signal)), []);
    });

    test("mounts a blob of another repository, and uploads it if it is not there either", async () => {
      const bytes = randomBytes(1000);
      const blob = describeBytes(bytes);
      const [from, to] = ["team/from", "team/to"].map((repository) => ({
        registry: registry.host,
        repository,
      }));
      assert.ok(from !== undefined && to !== undefined);
      await client.writeBlob(from, blob, () => streamOf(bytes), { signal });
      const opened = (): never => assert.fail("read although it can be mounted");
      assert.equal(await client.writeBlob(to, blob, opened, { mountFrom: "team/from", signal }), "mounted");
      assert.equal(await client.hasBlob(to, blob.digest, signal), true);

      const other = randomBytes(1000);
      const outcome = await client.writeBlob(to, describeBytes(other), () => streamOf(other), {
        mountFrom: "team/from",
        signal,
      });
      assert.equal(outcome, "uploaded");
    });

    test("keeps a manifest by tag and by digest", async () => {
      const name = { registry: registry.host, repository: "team/image" };
      const { manifest } = await pushSmallImage(client, registry.host, "team/image", "v1");
      const byTag = { ...name, tag: "v1", digest: undefined };
      const byDigest = { ...name, tag: undefined, digest: manifest.digest };
      for (const reference of [byTag, byDigest, { ...byTag, digest: manifest.digest }]) {
        assert.deepEqual(await client.readManifest(reference, signal), manifest);
        assert.equal(await client.findManifest(reference, signal), manifest.digest);
      }
      assert.equal(await client.findManifest({ ...name, tag: "v2", digest: undefined }, signal), undefined);
      const error = await rejection(client.readManifest({ ...name, tag: "v2", digest: undefined }, signal));
      assert.equal(error.code, "IMAGE_NOT_FOUND");
      assert.match(error.message, /\/team\/image:v2 \(status 404, MANIFEST_UNKNOWN\)$/);
      assert.match(error.hint ?? "", /check the name and the tag/);
    });

    test("has no referrers API, and lists what the tag of the digest has", async () => {
      const name = { registry: registry.host, repository: "team/subject" };
      const { manifest } = await pushSmallImage(client, registry.host, "team/subject", "v1");
      assert.deepEqual(await client.listReferrers(name, manifest.digest, signal), []);
      const referrer: Descriptor = {
        mediaType: OCI_MANIFEST,
        digest: manifest.digest,
        size: manifest.bytes.length,
        artifactType: "application/vnd.cyclonedx+json",
      };
      const index = encodeManifest(OCI_INDEX, { manifests: [referrer] });
      await client.writeManifest(name, index, manifest.digest.replace(":", "-"), signal);
      assert.deepEqual(await client.listReferrers(name, manifest.digest, signal), [referrer]);
    });

    test("stores nothing of bytes that are not those of the descriptor", async () => {
      const name = { registry: registry.host, repository: "team/changed" };
      const blob = describeBytes(randomBytes(200_000));
      for (const byteCount of [200_000, 199_999, 200_001]) {
        const wrong = randomBytes(byteCount);
        const error = await rejection(client.writeBlob(name, blob, () => streamOf(wrong), { signal }));
        assert.equal(error.code, "IMAGE_DIGEST_MISMATCH", `${byteCount} bytes: ${error.message}`);
      }
      assert.equal(await client.hasBlob(name, blob.digest, signal), false);
    });

    test("passes on why the bytes of an upload did not come, as it is", async () => {
      const name = { registry: registry.host, repository: "team/unreadable" };
      const blob = describeBytes(randomBytes(200_000));
      const reason = new Error("the disk is broken");
      async function* breakOff(): AsyncGenerator<Uint8Array> {
        yield new Uint8Array(1000);
        throw reason;
      }
      await assert.rejects(client.writeBlob(name, blob, breakOff, { signal }), (error) => error === reason);
    });

    test("breaks off an upload when its signal is aborted, and keeps nothing of it", async () => {
      const name = { registry: registry.host, repository: "team/cancelled" };
      const blob = describeBytes(randomBytes(200_000));
      const abort = new AbortController();
      const reason = new Error("Ctrl-C");
      async function* waitForEver(): AsyncGenerator<Uint8Array> {
        yield new Uint8Array(1000);
        abort.abort(reason);
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
      await assert.rejects(
        client.writeBlob(name, blob, waitForEver, { signal: abort.signal }),
        (error) => error === reason,
      );
      assert.equal(await client.hasBlob(name, blob.digest, signal), false);
    });

    // Everybody is welcome at the first one.
    if (auth === "none") return;

    test("refuses strangers and wrong passwords", async () => {
      const wrong: CredentialSource = {
        find: async () => ({ kind: "password", username: ACCOUNT.username, password: "pl4nt3d-wrong" }),
      };
      for (const credentials of [undefined, wrong]) {
        const other = createRegistryClient({
          ...(credentials !== undefined && { credentials }),
          retryDelaysMs: [],
        });
        const reference = { registry: registry.host, repository: "team/image", tag: "v1", digest: undefined };
        const error = await rejection(other.readManifest(reference, signal));
        await other.close();
        assert.equal(error.code, "REGISTRY_DENIED");
        assert.match(error.message, /team\/image:v1/);
        assert.match(error.message, /status 401/);
        assert.ok(error.hint?.startsWith(`docker login ${registry.host}, or set POLARIS_REGISTRY`));
      }
    });
  });
}

describe("a registry with tokens", { skip: REGISTRY_MISSING }, () => {
  let registry: RunningRegistry;
  before(async () => {
    registry = await startRegistry("token");
  });
  after(() => registry.stop());

  test("asks for one token for each repository and purpose, not for each request", async () => {
    const client = createRegistryClient({ credentials: LOGIN, retryDelaysMs: [] });
    const before = registry.tokenServer?.tokenCount() ?? 0;
    const { manifest } = await pushSmallImage(client, registry.host, "public/app", "v1");
    const reference = { registry: registry.host, repository: "public/app", tag: "v1", digest: undefined };
    await client.readManifest(reference, signal);
    await client.findManifest(reference, signal);
    assert.equal((registry.tokenServer?.tokenCount() ?? 0) - before, 2);
    await client.close();

    const stranger = createRegistryClient({ retryDelaysMs: [] });
    assert.equal(await stranger.findManifest(reference, signal), manifest.digest);
    const error = await rejection(stranger.writeManifest(reference, manifest, "v2", signal));
    assert.equal(error.code, "REGISTRY_DENIED");
    await stranger.close();
  });

  test("takes an identity token instead of a password", async () => {
    const client = createRegistryClient({
      credentials: { find: async () => ({ kind: "identity-token", token: IDENTITY_TOKEN }) },
      retryDelaysMs: [],
    });
    await pushSmallImage(client, registry.host, "team/by-identity-token", "v1");
    await client.close();
  });

  test("that have ended says so once, and is not asked for ever", async () => {
    const client = createRegistryClient({ credentials: LOGIN, retryDelaysMs: [] });
    await pushSmallImage(client, registry.host, "team/stale", "v1");
    const reference = { registry: registry.host, repository: "team/stale", tag: "v1", digest: undefined };
    registry.tokenServer?.giveStaleTokens(true);
    const before = registry.tokenServer?.tokenCount() ?? 0;
    const error = await rejection(client.readManifest(reference, signal));
    assert.equal(error.code, "REGISTRY_DENIED");
    assert.equal((registry.tokenServer?.tokenCount() ?? 0) - before, 1);
    registry.tokenServer?.giveStaleTokens(false);
    // The registry refuses the token that we still have: there is another one.
    await client.readManifest(reference, signal);
    await client.close();
  });
});
