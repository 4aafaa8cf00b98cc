/** The bill of materials of the proxy image, as CycloneDX 1.6 in JSON (ECMA-424). */
import { createHash } from "node:crypto";
import { digestOf } from "./manifest.ts";
import type { ArchiveFile } from "./layer-archive.ts";
import type { BundledPackage } from "./proxy-bundle.ts";

/** What an SBOM of the proxy image is made from. */
export interface ImageParts {
  /** Digest of the image's manifest. */
  readonly digest: string;
  readonly version: string;
  /** ISO 8601, as in the image. */
  readonly created: string;
  readonly base: {
    /** What it was called when the image was built. */
    readonly name: string;
    readonly digest: string;
    /** Of Node, if the base says it. */
    readonly nodeVersion: string | undefined;
  };
  readonly files: readonly ArchiveFile[];
  readonly packages: readonly BundledPackage[];
}

/** The same parts give the same bytes: UTF-8, two spaces, a line break at the end. */
export function formatSbom({ digest, version, created, base, files, packages }: ImageParts): Uint8Array {
  const imageRef = `image:${digest}`;
  const baseRef = `base:${base.digest}`;
  const parts = [
    {
      type: "container",
      "bom-ref": baseRef,
      name: base.name,
      version: base.digest,
      hashes: [sha256(base.digest)],
      ...(base.nodeVersion !== undefined && { components: [describeNode(base.nodeVersion)] }),
    },
    ...files.map(({ path, content }) => ({
      type: "file",
      "bom-ref": `file:/${path}`,
      name: `/${path}`,
      hashes: [sha256(digestOf(content))],
    })),
    ...packages.map(describePackage),
  ];
  const sbom = {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    serialNumber: `urn:uuid:${uuidOf(digest)}`,
    version: 1,
    metadata: {
      timestamp: created,
      component: {
        type: "container",
        "bom-ref": imageRef,
        name: "polaris-proxy",
        version,
        hashes: [sha256(digest)],
      },
    },
    components: parts,
    dependencies: [
      { ref: imageRef, dependsOn: parts.map((part) => part["bom-ref"]) },
      ...parts.map((part) => ({ ref: part["bom-ref"] })),
    ],
  };
  return Buffer.from(`${JSON.stringify(sbom, undefined, 2)}\n`);
}

function describePackage({ name, version, license }: BundledPackage) {
  const purl = `pkg:npm/${name.replace("@", "%40")}@${version}`;
  return { type: "library", "bom-ref": purl, name, version, licenses: [{ expression: license }], purl };
}

function describeNode(version: string) {
  const purl = `pkg:generic/node@${version}`;
  return { type: "platform", "bom-ref": purl, name: "node", version, purl };
}

function sha256(digest: string) {
  return { alg: "SHA-256", content: digest.slice("sha256:".length) };
}

/** A UUID of version 8 (RFC 9562 §5.8) out of a digest: another image has another one, the same image the same. */
function uuidOf(digest: string): string {
  const bytes = createHash("sha256").update(`polaris-sbom:${digest}`).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
