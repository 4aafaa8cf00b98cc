import { join } from "node:path";
import { parseImageReference } from "@polaris-cvm/images/image-reference.ts";
import { OCI_MANIFEST } from "@polaris-cvm/images/manifest.ts";
import { buildProxyImage } from "@polaris-cvm/images/proxy-image.ts";
import { pushImage } from "@polaris-cvm/images/push-image.ts";
import type { PushCounts } from "@polaris-cvm/images/push-image.ts";
import { createRegistryClient } from "@polaris-cvm/images/registry/registry-client.ts";
import type { RegistryClient } from "@polaris-cvm/images/registry/registry-client.ts";
import { resolveImage } from "@polaris-cvm/images/resolve-image.ts";
import type { PrintedBuild } from "../../images/testing/print-build.ts";
import { startRegistry } from "../../images/testing/registry-fixture.ts";
import { createSmallBase } from "../../images/testing/small-base.ts";
import type { Bench, Figure, Row } from "../measure.ts";
import { runNode } from "../run-node.ts";

const BUILDS = 3;
const REFERENCES = 50;
const ROUNDS = 9;

const MAX_BUILD_MIB = 300;
const MAX_LAYER_MIB = 5;
const MAX_RESOLVE_RATIO = 4;

const MEBIBYTE = 1024 * 1024;
const PRINT_BUILD = join(import.meta.dirname, "../../images/testing/print-build.ts");

/** What `polaris image` and `polaris lock` cost. */
export const images: Figure = {
  name: "images",
  about: "build and push of the proxy's image, and resolving references",
  limitMs: 120_000,
  measure,
};

async function measure(bench: Bench): Promise<Row[]> {
  const built = await buildProxyImage({ base: createSmallBase(), baseName: "small", signal: bench.signal });
  const registry = await startRegistry();
  const client = createRegistryClient();
  try {
    const push = async (): Promise<PushCounts> =>
      await pushImage(built, {
        registry: client,
        repository: { registry: registry.host, repository: "proxy" },
        tag: "bench",
        signal: bench.signal,
        onProgress: () => undefined,
      });
    await push();
    const { uploaded } = await push();
    return [
      ...(await measureBuilds(bench)),
      {
        what: "the proxy's layer, compressed",
        unit: "MiB",
        values: [built.layer.length / MEBIBYTE],
        target: { kind: "at-most", value: MAX_LAYER_MIB },
      },
      {
        what: "blobs uploaded by a second push",
        unit: "blobs",
        values: [uploaded],
        target: { kind: "at-most", value: 0 },
      },
      await measureResolving(bench, client, registry.host),
    ];
  } finally {
    await client.close();
    await registry.stop();
  }
}

/** Each in a process of its own, as on a command line. */
async function measureBuilds(bench: Bench): Promise<Row[]> {
  const elapsedMs: number[] = [];
  const peaksMiB: number[] = [];
  for (let build = 0; build < BUILDS; build += 1) {
    const run = await runNode(bench, [PRINT_BUILD]);
    const { peakBytes } = JSON.parse(run.lines[0]?.text ?? "") as PrintedBuild;
    elapsedMs.push(run.elapsedMs);
    peaksMiB.push(peakBytes / MEBIBYTE);
  }
  return [
    { what: "build of the proxy's image, with the start of Node", unit: "ms", values: elapsedMs },
    {
      what: "peak memory of it, with the bundler's",
      unit: "MiB",
      values: peaksMiB,
      target: { kind: "at-most", value: MAX_BUILD_MIB },
    },
  ];
}

async function measureResolving(bench: Bench, client: RegistryClient, host: string): Promise<Row> {
  const reference = parseImageReference(`${host}/proxy:bench`);
  const all = Array.from({ length: REFERENCES });
  const resolveMs: number[] = [];
  const headMs: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    headMs.push(
      await time(async () => {
        await Promise.all(
          all.map(async () => {
            const answer = await fetch(`http://${host}/v2/proxy/manifests/bench`, {
              method: "HEAD",
              headers: { accept: OCI_MANIFEST },
              signal: bench.signal,
            });
            if (!answer.ok) throw new Error(`the registry answered ${answer.status}`);
          }),
        );
      }),
    );
    resolveMs.push(
      await time(async () => {
        await Promise.all(all.map(() => resolveImage(reference, client, bench.signal)));
      }),
    );
  }
  return {
    what: `resolving ${REFERENCES} references`,
    unit: "ms",
    values: resolveMs,
    isPaired: true,
    reference: { what: `${REFERENCES} bare HEAD requests`, unit: "ms", values: headMs },
    target: { kind: "ratio-at-most", ratio: MAX_RESOLVE_RATIO },
  };
}

async function time(action: () => Promise<void>): Promise<number> {
  const startedMs = performance.now();
  await action();
  return performance.now() - startedMs;
}
