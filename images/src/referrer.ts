/** Documents about an image, kept beside it in its registry (distribution-spec, "Listing Referrers"). */
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { mismatch } from "./checked-bytes.ts";
import { streamBytes } from "./image.ts";
import type { ManifestBytes } from "./image.ts";
import { digestOf, OCI_INDEX, OCI_MANIFEST, parseIndex, parseManifest } from "./manifest.ts";
import type { Descriptor, Index } from "./manifest.ts";
import { readSmallBlob } from "./read-bytes.ts";
import type { RegistryClient, RepositoryName } from "./registry/registry-client.ts";

/** Media type, and type of artefact, of an SBOM in CycloneDX JSON (IANA). */
export const CYCLONEDX_JSON = "application/vnd.cyclonedx+json";

const ATTACH_AGAIN =
  "push the image again with what belongs to it; if it stays so, tell those who run the registry";

/** Longest document that is read: an SBOM of ten thousand packages has about 10 MiB. */
const MAX_DOCUMENT_BYTES = 32 * 1024 * 1024;

const EMPTY_BYTES = new TextEncoder().encode("{}");

/** The configuration of what is no image (image-spec, "Guidance for an Empty Descriptor"). */
const EMPTY: Descriptor = {
  mediaType: "application/vnd.oci.empty.v1+json",
  digest: digestOf(EMPTY_BYTES),
  size: EMPTY_BYTES.length,
};

interface Place {
  readonly registry: RegistryClient;
  readonly repository: RepositoryName;
  readonly signal: AbortSignal;
}

/**
 * Attaches a document to an image that is in the repository. The same document twice is one. A registry that does not say
 * that it lists it by itself does not know of referrers: then the index with the tag `sha256-<hex>` gets it too
 * ("Pushing Manifests with Subject", "Referrers Tag Schema").
 *
 * @param subject  descriptor of the image's manifest
 * @returns digest of the manifest that holds the document
 * @throws {PolarisError} IMAGE_DIGEST_MISMATCH if the registry lists it for another image; and what the client throws
 */
export async function pushReferrer(
  document: { readonly mediaType: string; readonly bytes: Uint8Array },
  options: Place & { readonly subject: Descriptor },
): Promise<string> {
  const { registry, repository, signal, subject } = options;
  const layer: Descriptor = {
    mediaType: document.mediaType,
    digest: digestOf(document.bytes),
    size: document.bytes.length,
  };
  for (const [blob, bytes] of [
    [EMPTY, EMPTY_BYTES],
    [layer, document.bytes],
  ] as const) {
    await registry.writeBlob(repository, blob, () => streamBytes(bytes), { signal });
  }
  const manifest = encode(OCI_MANIFEST, {
    artifactType: document.mediaType,
    config: EMPTY,
    layers: [layer],
    subject,
  });
  const listedFor = await registry.writeManifest(repository, manifest, undefined, signal);
  if (listedFor === undefined) {
    const entry = {
      mediaType: OCI_MANIFEST,
      digest: manifest.digest,
      size: manifest.bytes.length,
      artifactType: document.mediaType,
    };
    await addToTagIndex(entry, options);
  } else if (listedFor !== subject.digest) {
    throw mismatch(`what ${manifest.digest} is attached to`, `digest ${subject.digest}`, listedFor);
  }
  return manifest.digest;
}

/**
 * The newest-listed document of a kind that is attached to an image; undefined if there is none.
 *
 * @param subject  digest of the image's manifest
 * @throws {PolarisError} IMAGE_INVALID if it is attached in a form that is not ours, or to another image;
 *   IMAGE_TOO_LARGE
 */
export async function readReferrer(
  mediaType: string,
  options: Place & { readonly subject: string },
): Promise<Uint8Array | undefined> {
  const { registry, repository, signal, subject } = options;
  const listed = await registry.listReferrers(repository, subject, signal);
  const entry = listed.findLast(({ artifactType }) => artifactType === mediaType);
  if (entry === undefined) return undefined;
  const manifest = await registry.readManifest(
    { ...repository, tag: undefined, digest: entry.digest },
    signal,
  );
  if (manifest.mediaType !== entry.mediaType || manifest.bytes.length !== entry.size) {
    throw new PolarisError(
      "IMAGE_INVALID",
      `${entry.digest} has another kind or length than the list of referrers of ${subject} says`,
      { hint: ATTACH_AGAIN },
    );
  }
  const { subject: about, layers } = parseManifest(manifest.bytes, manifest.mediaType);
  // The list is the registry's word alone: it is the attached manifest that its author has tied to an image.
  if (about?.digest !== subject) {
    throw new PolarisError(
      "IMAGE_INVALID",
      `${entry.digest} is listed as attached to ${subject}, and is about ${about?.digest ?? "no image"}`,
      { hint: ATTACH_AGAIN },
    );
  }
  const [layer, ...others] = layers;
  if (layer === undefined || others.length > 0 || layer.mediaType !== mediaType) {
    throw new PolarisError(
      "IMAGE_INVALID",
      `${entry.digest} is attached to ${subject} as ${mediaType}, and does not hold one such document`,
      { hint: ATTACH_AGAIN },
    );
  }
  return await readSmallBlob(layer, (blob, blobSignal) => registry.readBlob(repository, blob, blobSignal), {
    what: `the document that is attached to ${subject}`,
    maxBytes: MAX_DOCUMENT_BYTES,
    signal,
  });
}

/** Two who do this at once can lose one of the two entries: the specification says so, and has nothing better. */
async function addToTagIndex(
  entry: Descriptor,
  { registry, repository, signal, subject }: Place & { readonly subject: Descriptor },
): Promise<void> {
  const tag = subject.digest.replace(":", "-");
  const reference = { ...repository, tag, digest: undefined };
  const isThere = (await registry.findManifest(reference, signal)) !== undefined;
  const others = isThere ? readEntries(await registry.readManifest(reference, signal)) : [];
  if (others.some(({ digest }) => digest === entry.digest)) return;
  await registry.writeManifest(repository, encode(OCI_INDEX, { manifests: [...others, entry] }), tag, signal);
}

/** As they are written, with what we do not know: they are somebody else's. */
function readEntries({ bytes, mediaType }: ManifestBytes): readonly Pick<Descriptor, "digest">[] {
  parseIndex(bytes, mediaType);
  return (JSON.parse(new TextDecoder().decode(bytes)) as Index).manifests;
}

function encode(mediaType: string, members: object): ManifestBytes {
  const bytes = new TextEncoder().encode(JSON.stringify({ schemaVersion: 2, mediaType, ...members }));
  return { bytes, mediaType, digest: digestOf(bytes) };
}
