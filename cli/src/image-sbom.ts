import { PolarisError } from "@polaris-cvm/sdk/errors";
import { buildOnBase } from "./build-image.ts";
import { openImageRegistry } from "./image-registry.ts";
import { openBase } from "./open-base.ts";
import { escapeControls } from "./print.ts";
import type { CommandContext, CommandOutcome, GlobalFlags } from "./run-command.ts";

export interface SbomFlags extends GlobalFlags {
  readonly base?: string;
}

/** `polaris image sbom`: of an image in a registry, or of the one that a build would make. */
export async function printSbom(
  context: CommandContext,
  text: string | undefined,
  flags: SbomFlags,
): Promise<CommandOutcome> {
  if (text !== undefined && flags.base !== undefined) {
    throw new PolarisError("USAGE_INVALID", "--base is for an image that is still to be built", {
      hint: "leave out the reference or --base",
    });
  }
  const { digest, bytes } =
    text === undefined ? await makeSbom(context, flags) : await readSbom(context, text);
  const sbom = parseSbom(bytes, digest);
  // A stranger's document: escaped, the text is the same JSON and does nothing to a terminal.
  const lines = JSON.stringify(sbom, null, 2).split("\n").map(escapeControls);
  return { data: { digest, sbom }, text: lines.join("\n") };
}

interface Sbom {
  /** Of the image. */
  readonly digest: string;
  readonly bytes: Uint8Array;
}

async function makeSbom(context: CommandContext, flags: SbomFlags): Promise<Sbom> {
  await using registry = openImageRegistry(context);
  const base = await openBase(context, flags.base, registry);
  const image = await buildOnBase(context, base);
  return { digest: image.manifest.digest, bytes: image.sbom };
}

async function readSbom(context: CommandContext, text: string): Promise<Sbom> {
  const { parseImageReference } = await import("@polaris-cvm/images/image-reference.ts");
  const { CYCLONEDX_JSON, readReferrer } = await import("@polaris-cvm/images/referrer.ts");
  const reference = parseImageReference(text);
  await using registry = openImageRegistry(context);
  const { reference: name, platformDigest: subject } = await registry.resolve(reference);
  const bytes = await readReferrer(CYCLONEDX_JSON, {
    registry: await registry.connect(),
    repository: reference,
    subject,
    signal: context.signal,
  });
  if (bytes === undefined) {
    throw new PolarisError("IMAGE_NOT_FOUND", `${name} has no SBOM attached in CycloneDX JSON`, {
      hint: "polaris image build --push attaches one",
      details: { digest: subject },
    });
  }
  return { digest: subject, bytes };
}

function parseSbom(bytes: Uint8Array, digest: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new PolarisError("IMAGE_INVALID", `the SBOM that is attached to ${digest} is not JSON`, { cause });
  }
}
