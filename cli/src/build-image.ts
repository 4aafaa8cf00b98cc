import { rename, rm } from "node:fs/promises";
import { resolve } from "node:path";
import type { ImageReference } from "@polaris-cvm/images/image-reference.ts";
import type { BuiltImage } from "@polaris-cvm/images/proxy-image.ts";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { openImageRegistry } from "./image-registry.ts";
import type { ImageRegistry } from "./image-registry.ts";
import { openBase } from "./open-base.ts";
import type { OpenedBase } from "./open-base.ts";
import { sourceDateEpoch } from "./process-environment.ts";
import { startProgress } from "./progress.ts";
import type { Progress } from "./progress.ts";
import type { CommandContext, CommandOutcome, GlobalFlags } from "./run-command.ts";

export interface BuildFlags extends GlobalFlags {
  readonly output?: "layout" | "docker-archive";
  readonly to?: string;
  readonly push?: string;
  readonly base?: string;
}

/** Name of an archive's image once it was loaded, and of the files of a build. */
const NAME = "polaris-proxy";

/** `polaris image build`. Writing comes before pushing: what is on disk is also there if the registry refuses. */
export async function buildImage(context: CommandContext, flags: BuildFlags): Promise<CommandOutcome> {
  const destination = flags.push === undefined ? undefined : await parseDestination(flags.push);
  if (flags.to !== undefined && flags.output === undefined) {
    throw new PolarisError("USAGE_INVALID", "--to says where, but nothing says what to write", {
      hint: "add --output layout or --output docker-archive",
    });
  }
  const progress = startProgress(context);
  await using registry = openImageRegistry(context);
  try {
    const base = await openBase(context, flags.base, registry);
    progress.phase("bundling the proxy");
    const image = await buildOnBase(context, base);
    const written =
      flags.output === undefined ? undefined : await writeImage(context, image, flags, progress);
    const pushed =
      destination === undefined
        ? undefined
        : await push(context, { image, base, destination, registry, progress });
    progress.done();
    return {
      data: {
        digest: image.manifest.digest,
        base: { reference: base.name, digest: base.image.manifest.digest },
        output: written?.output ?? null,
        sbom: written?.sbom ?? null,
        pushed: pushed ?? null,
      },
      text: pushed?.reference ?? image.manifest.digest,
    };
  } catch (error) {
    // A stream that is cut off by Ctrl-C says so in its own way.
    context.signal.throwIfAborted();
    throw error;
  }
}

/** The image that a build makes, from the sources of this installation. */
export async function buildOnBase(context: CommandContext, base: OpenedBase): Promise<BuiltImage> {
  const { buildProxyImage } = await import("@polaris-cvm/images/proxy-image.ts");
  const { makeProxyLayer } = await import("@polaris-cvm/images/proxy-layer.ts");
  return await buildProxyImage({
    base: base.image,
    baseName: base.name,
    layer: await makeProxyLayer(sourceDateEpoch()),
    signal: context.signal,
  });
}

async function parseDestination(text: string): Promise<ImageReference & { readonly tag: string }> {
  const { parseImageReference } = await import("@polaris-cvm/images/image-reference.ts");
  const { tag, digest, ...repository } = parseImageReference(text);
  if (digest !== undefined || tag === undefined) {
    throw new PolarisError(
      "USAGE_INVALID",
      "an image is pushed to a tag, not to a digest: the digest is its own",
      {
        hint: "name it as in --push ghcr.io/acme/polaris-proxy:1",
      },
    );
  }
  return { ...repository, tag, digest };
}

async function writeImage(
  context: CommandContext,
  image: BuiltImage,
  flags: BuildFlags,
  progress: Progress,
): Promise<{ readonly output: string; readonly sbom: string }> {
  const { signal } = context;
  const { stateUnwritable } = await import("@polaris-cvm/images/system-error.ts");
  const { writeAside, writeNewFile } = await import("@polaris-cvm/images/written-aside.ts");
  const isLayout = flags.output === "layout";
  const output = resolve(flags.to ?? (isLayout ? NAME : `${NAME}.tar`));
  const sbom = `${output}.cdx.json`;
  progress.phase(`writing ${output}`);
  const beforePlaced = async (): Promise<void> => {
    await rm(sbom, { force: true }).catch((cause: unknown) => {
      throw stateUnwritable(sbom, cause);
    });
  };
  const writeOutput = async (): Promise<void> => {
    if (isLayout) {
      const { writeLayout } = await import("@polaris-cvm/images/layout.ts");
      await writeLayout(image, output, { signal, beforePlaced });
    } else {
      const { writeDockerArchive } = await import("@polaris-cvm/images/docker-archive.ts");
      await writeDockerArchive(image, output, { names: [`${NAME}:latest`], signal, beforePlaced });
    }
  };
  // The SBOM is on the disk before the image is, and gets its name after it; that of an image that is replaced goes before it.
  // So there may be none for a moment, or if the last step fails, but never one beside another image: a missing one is seen.
  await writeAside(
    sbom,
    (temporary) => writeNewFile(temporary, image.sbom, { mode: 0o644, signal }),
    async (temporary) => {
      await writeOutput();
      await rename(temporary, sbom);
    },
  );
  return { output, sbom };
}

interface Push {
  readonly image: BuiltImage;
  readonly base: OpenedBase;
  readonly destination: ImageReference & { readonly tag: string };
  readonly registry: ImageRegistry;
  readonly progress: Progress;
}

async function push(context: CommandContext, { image, base, destination, registry, progress }: Push) {
  const { pushImage } = await import("@polaris-cvm/images/push-image.ts");
  const { CYCLONEDX_JSON, pushReferrer } = await import("@polaris-cvm/images/referrer.ts");
  const { formatImageReference } = await import("@polaris-cvm/images/image-reference.ts");
  const { formatBytes } = await import("./data-streams.ts");
  const client = await registry.connect();
  const { signal } = context;
  const { tag, ...repository } = destination;
  const mountFrom =
    base.repository?.registry === repository.registry ? base.repository.repository : undefined;
  progress.phase(`pushing to ${formatImageReference(destination)}`);
  const counts = await pushImage(image, {
    registry: client,
    repository,
    tag: undefined,
    ...(mountFrom !== undefined && { mountFrom }),
    signal,
    onProgress: ({ digest, size }, outcome) => {
      progress.phase(`${digest.slice(0, 19)}… ${formatBytes(size)} ${outcome}`);
    },
  });
  progress.phase("attaching the SBOM");
  const { manifest } = image;
  const sbomDigest = await pushReferrer(
    { mediaType: CYCLONEDX_JSON, bytes: image.sbom },
    {
      registry: client,
      repository,
      subject: { mediaType: manifest.mediaType, digest: manifest.digest, size: manifest.bytes.length },
      signal,
    },
  );
  // The tag comes last: whoever finds the image by it finds its SBOM too. A registry has to take a referrer before what it
  // refers to (distribution-spec, "Pushing Manifests"), but not every one does, so the image is there by its digest first.
  // One with tags that never change refuses the same manifest a second time.
  if ((await client.findManifest(destination, signal)) !== manifest.digest) {
    await client.writeManifest(repository, manifest, tag, signal);
  }
  const reference = formatImageReference({ ...repository, tag: undefined, digest: manifest.digest });
  return { reference, tag, sbomDigest, ...counts };
}
