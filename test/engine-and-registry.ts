import { test } from "node:test";
import type { TestContext } from "node:test";
import { openLayout } from "@polaris-cvm/images/layout.ts";
import type { Image } from "@polaris-cvm/images/image.ts";
import { pushImage } from "@polaris-cvm/images/push-image.ts";
import { createRegistryClient } from "@polaris-cvm/images/registry/registry-client.ts";
import { makeBaseLayout } from "../images/testing/base-layout.ts";
import { createHelloImage } from "../images/testing/hello-image.ts";
import { REGISTRY_MISSING, startRegistry } from "../images/testing/registry-fixture.ts";
import { ENGINE_MISSING, startEngine } from "./container-engine.ts";
import type { TestEngine } from "./container-engine.ts";

/** An engine without a network, and the registry that it gets images from. */
export interface EngineAndRegistry {
  readonly engine: TestEngine;
  /** `127.0.0.1:<port>`, as in a reference. */
  readonly registryHost: string;
  /** A base with Node: `<registryHost>/node:26-slim`. */
  readonly base: Image;
  /** The workload of `examples/hello` on that base: `<registryHost>/hello:1`. */
  readonly hello: Image;
  push(image: Image, repository: string, tag: string): Promise<void>;
  stopRegistry(): Promise<void>;
  stop(): Promise<void>;
}

/** @returns engine and registry with both images in the registry, or why they cannot be had here */
export async function startEngineAndRegistry(): Promise<EngineAndRegistry | string> {
  const missing = ENGINE_MISSING || REGISTRY_MISSING;
  if (missing !== false) return missing;
  const engine = await startEngine();
  if (typeof engine === "string") return engine;
  const registry = await startRegistry();
  const stop = async (): Promise<void> => {
    await registry.stop();
    await engine.stop();
  };
  try {
    const base = await openLayout(await makeBaseLayout());
    const hello = await createHelloImage(base, AbortSignal.timeout(60_000));
    const push = async (image: Image, repository: string, tag: string): Promise<void> =>
      await pushTo({ registry: registry.host, repository }, image, tag);
    await push(base, "node", "26-slim");
    await push(hello, "hello", "1");
    return {
      engine,
      registryHost: registry.host,
      base,
      hello,
      push,
      stopRegistry: () => registry.stop(),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Tests of one file that follow each other, and are skipped together if an engine or a registry is missing. */
export function createSteps(
  findMissing: () => string | false,
): (name: string, run: (t: TestContext) => Promise<void>) => void {
  return (name, run) => {
    test(name, async (t) => {
      const missing = findMissing();
      if (missing !== false) return t.skip(missing);
      await run(t);
    });
  };
}

/** Pushes an image to a registry of a test. */
export async function pushTo(
  repository: { readonly registry: string; readonly repository: string },
  image: Image,
  tag: string,
): Promise<void> {
  const client = createRegistryClient();
  await pushImage(image, {
    registry: client,
    repository,
    tag,
    mountFrom: "node",
    signal: AbortSignal.timeout(60_000),
    onProgress: () => undefined,
  });
  await client.close();
}
