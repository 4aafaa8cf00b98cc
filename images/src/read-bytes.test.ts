import assert from "node:assert/strict";
import { test } from "node:test";
import { startHostileRegistry } from "../testing/hostile-registry.ts";
import { createSmallBase } from "../testing/small-base.ts";
import { digestOf, OCI_CONFIG } from "./manifest.ts";
import { readSmallBlob } from "./read-bytes.ts";
import { createRegistryClient } from "./registry/registry-client.ts";

const { signal } = new AbortController();
const image = createSmallBase();

test("a small blob is read as a whole", async () => {
  const bytes = await readSmallBlob(image.config, image.openBlob, { what: "it", maxBytes: 10_000, signal });
  assert.equal(digestOf(bytes), image.config.digest);
});

test("a registry that sends a byte now and then is given up", { timeout: 10_000 }, async (context) => {
  const server = await startHostileRegistry((_request, response) => {
    const timer = setInterval(() => response.write(" "), 50);
    response.on("close", () => clearInterval(timer));
  });
  const client = createRegistryClient({ retryDelaysMs: [] });
  context.after(async () => {
    await client.close();
    await server.stop();
  });
  const repository = { registry: server.host, repository: "app" };
  const blob = { mediaType: OCI_CONFIG, digest: `sha256:${"0".repeat(64)}`, size: 10_000 };
  const read = (given: AbortSignal): Promise<Uint8Array> =>
    readSmallBlob(blob, (of, blobSignal) => client.readBlob(repository, of, blobSignal), {
      what: "the configuration",
      maxBytes: 10_000,
      signal: given,
      deadlineMs: 400,
    });
  await assert.rejects(read(signal), {
    code: "REGISTRY_UNREACHABLE",
    message: "the configuration has not come within 0.4 s",
  });
  const reason = new Error("Ctrl-C");
  const stop = new AbortController();
  setTimeout(() => stop.abort(reason), 100);
  await assert.rejects(read(stop.signal), (error) => error === reason);
});
