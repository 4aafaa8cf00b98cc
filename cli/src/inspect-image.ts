import { parseImageReference } from "@polaris-cvm/images/image-reference.ts";
import type { ResolvedImage } from "@polaris-cvm/images/resolve-image.ts";
import { formatBytes } from "./data-streams.ts";
import { openImageRegistry } from "./image-registry.ts";
import { escapeControls, formatColumns } from "./print.ts";
import type { CommandContext, CommandOutcome, GlobalFlags } from "./run-command.ts";

export interface DigestFlags extends GlobalFlags {
  readonly index?: boolean;
}

/** `polaris image inspect` */
export async function inspectImage(context: CommandContext, text: string): Promise<CommandOutcome> {
  const resolved = await resolveText(context, text);
  const { reference, digest, mediaType, platformDigest, platformMediaType, config, image } = resolved;
  return {
    data: {
      reference,
      digest,
      mediaType,
      platformDigest,
      platformMediaType,
      config,
      layers: image.layers.map(({ mediaType: kind, digest: id, size }) => ({
        mediaType: kind,
        digest: id,
        size,
      })),
    },
    text: describe(resolved),
  };
}

/** `polaris image digest` */
export async function printDigest(
  context: CommandContext,
  text: string,
  flags: DigestFlags,
): Promise<CommandOutcome> {
  const { reference, digest, platformDigest } = await resolveText(context, text);
  return {
    data: { reference, digest, platformDigest },
    text: flags.index === true ? digest : platformDigest,
  };
}

async function resolveText(context: CommandContext, text: string): Promise<ResolvedImage> {
  const reference = parseImageReference(text);
  await using registry = openImageRegistry(context);
  return await registry.resolve(reference);
}

function describe({
  reference,
  digest,
  mediaType,
  platformDigest,
  platformMediaType,
  config,
  image,
}: ResolvedImage): string {
  const { entrypoint, cmd, env, user, workingDir, exposedPorts, labels } = config;
  const rows: readonly (readonly string[])[] = [
    ["reference", reference],
    ["names", `${digest} (${mediaType})`],
    [`${config.os}/${config.architecture}`, `${platformDigest} (${platformMediaType})`],
    ["entrypoint", JSON.stringify(entrypoint)],
    ["command", JSON.stringify(cmd)],
    ["user", user === "" ? "root" : user],
    ["folder", workingDir === "" ? "/" : workingDir],
    ["ports", exposedPorts.join(", ")],
    ...list("env", env),
    ...list(
      "labels",
      Object.entries(labels).map(([name, value]) => `${name}=${value}`),
    ),
    ...list(
      "layers",
      image.layers.map((layer) => `${layer.digest} (${layer.mediaType}, ${formatBytes(layer.size)})`),
    ),
    ["together", formatBytes(image.layers.reduce((sum, { size }) => sum + size, 0))],
  ];
  // An image says of itself what it likes.
  return formatColumns(rows.map((row) => row.map(escapeControls)));
}

function list(name: string, lines: readonly string[]): string[][] {
  return lines.map((line, index) => [index === 0 ? name : "", line]);
}
