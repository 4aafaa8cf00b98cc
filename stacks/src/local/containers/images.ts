import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeDockerArchive } from "@polaris-cvm/images/docker-archive.ts";
import type { Image } from "@polaris-cvm/images/image.ts";
import { parseImageReference } from "@polaris-cvm/images/image-reference.ts";
import { isPolarisError, PolarisError } from "@polaris-cvm/sdk/errors";
import type { ImageWorkload } from "../../plan.ts";
import { runEngine } from "./engine.ts";
import type { EngineName } from "./engine.ts";

/** How long an image may take to come: a large one over a slow line, in milliseconds. */
const TRANSFER_TIMEOUT_MS = 30 * 60_000;

/** How an engine is told which bytes the workload is: it checks the digest itself when it fetches them. */
export function workloadImage({ reference, platformDigest }: ImageWorkload): string {
  const { registry, repository } = parseImageReference(reference);
  return `${registry}/${repository}@${platformDigest}`;
}

/**
 * Has the engine fetch the workload's image if it does not have it, with the engine's own logins.
 *
 * @throws {PolarisError} CONTAINER_ENGINE_FAILED
 */
export async function fetchWorkload(
  engine: EngineName,
  workload: ImageWorkload,
  signal: AbortSignal,
): Promise<void> {
  const image = workloadImage(workload);
  if (await hasImage(engine, image, signal)) return;
  await runEngine(engine, ["pull", "--quiet", image], { timeoutMs: TRANSFER_TIMEOUT_MS, signal });
}

/**
 * Gives the engine an image of ours if it does not have it.
 *
 * @returns how the engine calls it: the digest of its configuration, or, where it keeps images in the form of registries,
 *   that of its manifest. Either names these bytes and no others.
 * @throws {PolarisError} CONTAINER_ENGINE_FAILED, STATE_UNWRITABLE, IMAGE_DIGEST_MISMATCH
 */
export async function loadImage(engine: EngineName, image: Image, signal: AbortSignal): Promise<string> {
  const known = await findImage(engine, image, signal);
  if (known !== undefined) return known;
  const folder = await mkdtemp(join(tmpdir(), "polaris-image-"));
  try {
    const archive = join(folder, "image.tar");
    // Gone in a moment: no layer of it has to wait for the disk.
    await writeDockerArchive(image, archive, { names: [], durable: false, signal });
    await runEngine(engine, ["load", "--quiet", "--input", archive], {
      timeoutMs: TRANSFER_TIMEOUT_MS,
      signal,
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  const loaded = await findImage(engine, image, signal);
  if (loaded !== undefined) return loaded;
  throw new PolarisError(
    "CONTAINER_ENGINE_FAILED",
    `${engine} has taken the proxy image, and does not know it`,
    {
      details: { config: image.config.digest, manifest: image.manifest.digest },
    },
  );
}

/** How the engine calls an image; undefined if it does not have it. */
export async function findImage(
  engine: EngineName,
  image: Image,
  signal: AbortSignal,
): Promise<string | undefined> {
  for (const id of [image.config.digest, image.manifest.digest]) {
    if (await hasImage(engine, id, signal)) return id;
  }
  return undefined;
}

async function hasImage(engine: EngineName, name: string, signal: AbortSignal): Promise<boolean> {
  try {
    await runEngine(engine, ["image", "inspect", "--format", "{{.Id}}", name], { signal });
    return true;
  } catch (error) {
    signal.throwIfAborted();
    if (isPolarisError(error)) return false;
    throw error;
  }
}
