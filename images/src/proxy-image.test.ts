import assert from "node:assert/strict";
import { before, test } from "node:test";
import { PROXY_NODE_FLAGS } from "@polaris-cvm/proxy/environment";
import { collect } from "../testing/blob-bytes.ts";
import { listArchive } from "../testing/read-tar.ts";
import { createSmallBase } from "../testing/small-base.ts";
import type { SmallBase } from "../testing/small-base.ts";
import { DOCKER_CONFIG, DOCKER_MANIFEST, digestOf, parseImageConfig, parseManifest } from "./manifest.ts";
import { PROXY_ENTRYPOINT } from "./proxy-entrypoint.ts";
import { buildProxyImage } from "./proxy-image.ts";
import type { BuiltImage } from "./proxy-image.ts";
import { makeProxyLayer } from "./proxy-layer.ts";

const { signal } = new AbortController();
const MEBIBYTE = 1024 * 1024;

async function build(given: SmallBase = {}, sourceDateEpoch?: number): Promise<BuiltImage> {
  return await buildProxyImage({
    base: createSmallBase(given),
    baseName: "docker.io/library/node:26-slim",
    signal,
    ...(sourceDateEpoch !== undefined && { layer: await makeProxyLayer(sourceDateEpoch) }),
  });
}

async function readConfig(image: BuiltImage): Promise<Record<string, unknown>> {
  return JSON.parse(Buffer.from(await collect(image, image.config)).toString()) as Record<string, unknown>;
}

let image: BuiltImage;
before(async () => {
  image = await build();
});

test("the image is the base and one layer with the proxy and its licences, of less than 5 MiB", async () => {
  const manifest = parseManifest(image.manifest.bytes);
  assert.equal(image.manifest.digest, digestOf(image.manifest.bytes));
  assert.deepEqual(manifest.layers, image.layers);
  assert.equal(manifest.layers.length, 2);
  assert.deepEqual(manifest.layers[0], createSmallBase().layers[0]);

  const own = manifest.layers[1];
  assert.ok(own !== undefined && own.size < 5 * MEBIBYTE, `${own?.size} bytes`);
  assert.deepEqual(Buffer.from(await collect(image, own)), Buffer.from(image.layer));
  const [folder, licenses, program, ...more] = await listArchive(image.layer);
  assert.equal(folder, "drwxr-xr-x 0/0 0 1970-01-01 00:00:00 polaris/");
  assert.match(licenses ?? "", /^-rw-r--r-- 0\/0 \d+ 1970-01-01 00:00:00 polaris\/licenses\.txt$/);
  assert.match(program ?? "", /^-rw-r--r-- 0\/0 \d+ 1970-01-01 00:00:00 polaris\/polaris-proxy\.mjs$/);
  assert.deepEqual(more, []);
});

test("the image says how it is run, with the base's environment and nothing else of it", async () => {
  const { history, config, created } = await readConfig(image);
  assert.deepEqual(Object.keys(config as object), [
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "WorkingDir",
    "Labels",
  ]);
  const { labels, diffIds, ...facts } = parseImageConfig(await collect(image, image.config));
  assert.deepEqual(facts, {
    os: "linux",
    architecture: "amd64",
    entrypoint: PROXY_ENTRYPOINT,
    cmd: [],
    env: ["PATH=/usr/local/bin:/usr/bin", "NODE_VERSION=26.10.0"],
    user: "65532:65532",
    workingDir: "/polaris",
    exposedPorts: ["3000/tcp"],
  });
  assert.equal(diffIds.length, 2);
  assert.equal(created, "1970-01-01T00:00:00Z");
  assert.deepEqual(history, [
    { comment: "base image" },
    { created, created_by: "polaris image build", comment: "polaris-proxy 0.1.0" },
  ]);
  assert.deepEqual(labels, {
    "org.opencontainers.image.base.digest": createSmallBase().manifest.digest,
    "org.opencontainers.image.description":
      "Opens sealed requests, forwards them to one workload, seals the responses",
    "org.opencontainers.image.licenses": "Apache-2.0 AND MIT",
    "org.opencontainers.image.revision": "v0.1.0",
    "org.opencontainers.image.title": "Polaris Secure Proxy",
    "org.opencontainers.image.version": "0.1.0",
  });
});

test("the proxy gets the flags that it gets everywhere else", () => {
  assert.deepEqual(PROXY_ENTRYPOINT.slice(1, 1 + PROXY_NODE_FLAGS.length), PROXY_NODE_FLAGS);
});

test("a base of Docker's media types becomes an OCI image of the same bytes", async () => {
  const docker = {
    manifestType: DOCKER_MANIFEST,
    configType: DOCKER_CONFIG,
    layerType: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  };
  const ofDocker = await build(docker);
  assert.deepEqual(ofDocker.layers, image.layers);
  const [inherited] = ofDocker.layers;
  assert.ok(inherited !== undefined);
  assert.equal(digestOf(await collect(ofDocker, inherited)), inherited.digest);
  const plain = await build({ layerType: "application/vnd.docker.image.rootfs.diff.tar" });
  assert.equal(plain.layers[0]?.mediaType, "application/vnd.oci.image.layer.v1.tar");
});

test("the base's history is kept where it fits its layers", async () => {
  const fitting = [{ created_by: "ADD" }, { created_by: "ENV", empty_layer: true }];
  const kept = await readConfig(await build({ history: fitting }));
  assert.deepEqual((kept["history"] as object[]).slice(0, -1), fitting);
  const replaced = await readConfig(await build({ history: [{ created_by: "one" }, { created_by: "two" }] }));
  assert.deepEqual((replaced["history"] as object[]).slice(0, -1), [{ comment: "base image" }]);
});

test("SOURCE_DATE_EPOCH is the time of everything", async () => {
  const dated = await build({}, 1_700_000_000);
  assert.equal((await readConfig(dated))["created"], "2023-11-14T22:13:20Z");
  for (const line of await listArchive(dated.layer)) assert.match(line, / 2023-11-14 22:13:20 /);
  assert.match(Buffer.from(dated.sbom).toString(), /"timestamp": "2023-11-14T22:13:20Z"/);
  for (const wrong of [-1, 1.5, Number.NaN, 2 ** 40]) {
    await assert.rejects(build({}, wrong), {
      code: "USAGE_INVALID",
      exitCode: 2,
      message: /^SOURCE_DATE_EPOCH must be/,
    });
  }
});

test("a base that does not fit is refused before anything is built", async () => {
  const bases: [SmallBase, code: string, message: RegExp][] = [
    [{ architecture: "arm64" }, "IMAGE_PLATFORM_MISSING", /only for linux\/arm64/],
    [
      { env: ["NODE_VERSION=20.19.4"] },
      "IMAGE_NOT_SUPPORTED",
      /needs Node 26 or newer, the base image has 20\.19\.4/,
    ],
    [{ diffIds: [] }, "IMAGE_INVALID", /has 1 layers, and its configuration tells of 0/],
    [
      { layerType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" },
      "IMAGE_INVALID",
      /is foreign/,
    ],
    [{ layerType: "application/x-unknown" }, "IMAGE_INVALID", /unknown kind/],
    [{ configType: "application/vnd.cncf.helm.config.v1+json" }, "IMAGE_INVALID", /no image to run/],
  ];
  for (const [base, code, message] of bases) await assert.rejects(build(base), { code, message });
});
