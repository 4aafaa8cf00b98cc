import { Command, Option } from "commander";
import type { BuildFlags } from "../build-image.ts";
import type { SbomFlags } from "../image-sbom.ts";
import type { DigestFlags } from "../inspect-image.ts";
import type { GlobalFlags } from "../run-command.ts";
import { addGlobalFlags, runCommand } from "../run-command.ts";

const REFERENCE = "[registry/]repository[:tag][@digest]";

export function imageCommand(): Command {
  const command = new Command("image").description(
    "build the proxy's image, and look at images, without Docker",
  );
  command.addCommand(buildCommand());
  command.addCommand(inspectCommand());
  command.addCommand(digestCommand());
  command.addCommand(sbomCommand());
  return command;
}

function buildCommand(): Command {
  return addGlobalFlags(
    new Command("build")
      .description(
        "build the image of this installation's proxy; the same sources and base give the same digest",
      )
      .addOption(
        new Option("--output <kind>", "write it to disk, its SBOM beside it").choices([
          "layout",
          "docker-archive",
        ]),
      )
      .option(
        "--to <path>",
        "where to (default: polaris-proxy for a layout, polaris-proxy.tar for an archive)",
      )
      .option("--push <reference>", "push it to a registry, with its SBOM attached")
      .addOption(baseOption())
      .addHelpText(
        "after",
        `
Examples:
  polaris image build                                      print the digest, write nothing
  polaris image build --push ghcr.io/acme/polaris-proxy:1
  polaris image build --output docker-archive --to proxy.tar   # for docker load
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) polaris image build --base ./node-layout

In a project, the default base is proxy.base of polaris.yaml, as polaris.lock has pinned it; without a pin, as it is now.
Logins are those of docker login, or POLARIS_REGISTRY, POLARIS_REGISTRY_USERNAME and POLARIS_REGISTRY_PASSWORD.`,
      ),
  ).action((flags: BuildFlags) =>
    runCommand("image build", flags, async (context) => {
      const { buildImage } = await import("../build-image.ts");
      return await buildImage(context, flags);
    }),
  );
}

function inspectCommand(): Command {
  return addGlobalFlags(
    new Command("inspect")
      .description("show what an image is: digests, configuration, layers")
      .argument("<reference>", REFERENCE)
      .addHelpText("after", "\nExample:\n  polaris image inspect node:26-slim --json"),
  ).action((reference: string, flags: GlobalFlags) =>
    runCommand("image inspect", flags, async (context) => {
      const { inspectImage } = await import("../inspect-image.ts");
      return await inspectImage(context, reference);
    }),
  );
}

function digestCommand(): Command {
  return addGlobalFlags(
    new Command("digest")
      .description("print the digest of an image for linux/amd64: what runs")
      .argument("<reference>", REFERENCE)
      .option(
        "--index",
        "the digest of what the reference names instead, which may be an index of many platforms",
      )
      .addHelpText("after", "\nExample:\n  polaris image digest ghcr.io/acme/hello:1.4.2"),
  ).action((reference: string, flags: DigestFlags) =>
    runCommand("image digest", flags, async (context) => {
      const { printDigest } = await import("../inspect-image.ts");
      return await printDigest(context, reference, flags);
    }),
  );
}

function sbomCommand(): Command {
  return addGlobalFlags(
    new Command("sbom")
      .description("print an image's bill of materials (CycloneDX JSON)")
      .argument("[reference]", "image in a registry that has one attached (default: what build would make)")
      .addOption(baseOption())
      .addHelpText(
        "after",
        `
Examples:
  polaris image sbom > sbom.cdx.json
  polaris image sbom ghcr.io/acme/polaris-proxy:1`,
      ),
  ).action((reference: string | undefined, flags: SbomFlags) =>
    runCommand("image sbom", flags, async (context) => {
      const { printSbom } = await import("../image-sbom.ts");
      return await printSbom(context, reference, flags);
    }),
  );
}

function baseOption(): Option {
  return new Option(
    "--base <image>",
    "stand on this image instead: a reference, or the folder of an OCI layout",
  );
}
