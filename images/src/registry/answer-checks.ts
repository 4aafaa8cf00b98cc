import { PolarisError } from "@polaris-cvm/sdk/errors";
import { DIGEST } from "../image-reference.ts";
import { MAX_MANIFEST_BYTES } from "../manifest.ts";
import type { AuthorizationRequest } from "./authentication.ts";
import { mismatch } from "../checked-bytes.ts";
import { parseLinks } from "./link-header.ts";
import { describeRefusal } from "./refusal.ts";
import { discardBody, leadTo, readBody } from "./transport.ts";
import type { RegistryAnswer } from "./transport.ts";

/** @throws {PolarisError} what {@link describeRefusal} makes of another status */
export async function requireStatus(
  answer: RegistryAnswer,
  status: number,
  asked: AuthorizationRequest,
): Promise<void> {
  if (answer.status !== status) throw await describeRefusal(answer, asked);
}

/**
 * The bytes of a manifest or index.
 *
 * @throws {PolarisError} IMAGE_TOO_LARGE above 4 MiB, REGISTRY_UNREACHABLE if they break off
 */
export async function readManifestBytes(answer: RegistryAnswer, subject: string): Promise<Uint8Array> {
  const bytes = await readBody(answer, MAX_MANIFEST_BYTES);
  if (bytes !== undefined) return bytes;
  throw new PolarisError("IMAGE_TOO_LARGE", `${subject} is longer than ${MAX_MANIFEST_BYTES} bytes`, {
    hint: "no manifest is that long (distribution spec): check what was pushed",
  });
}

/**
 * What the registry says that the digest is; the header is optional.
 *
 * @throws {PolarisError} REGISTRY_FAILED for a digest that is not SHA-256
 */
export function announcedDigest(answer: RegistryAnswer, subject: string): string | undefined {
  return digestInHeader(answer, "Docker-Content-Digest", subject);
}

/**
 * The digest of the manifest to whose referrers the registry has added the one that it was sent; a registry without the
 * referrers API does not say any (distribution spec, "Pushing Manifests with Subject").
 *
 * @throws {PolarisError} REGISTRY_FAILED for a digest that is not SHA-256
 */
export function announcedSubject(answer: RegistryAnswer, subject: string): string | undefined {
  return digestInHeader(answer, "OCI-Subject", subject);
}

function digestInHeader({ headers, url }: RegistryAnswer, name: string, subject: string): string | undefined {
  const header = headers[name.toLowerCase()];
  if (header === undefined) return undefined;
  if (typeof header === "string" && DIGEST.test(header)) return header;
  throw outsideProtocol(url, subject, `a SHA-256 digest in ${name}`);
}

/**
 * Makes sure that an answer has the bytes from an offset to the end (RFC 9110 §14.4).
 *
 * @throws {PolarisError} REGISTRY_FAILED if it has others, or does not say which
 */
export function requireRange(
  { headers, url, body }: RegistryAnswer,
  range: { readonly offset: number; readonly size: number },
  subject: string,
): void {
  const { offset, size } = range;
  const expected = `bytes ${offset}-${size - 1}/`;
  const header = headers["content-range"];
  if (header === `${expected}${size}` || header === `${expected}*`) return;
  // Nobody wants what comes.
  body.destroy();
  throw outsideProtocol(url, subject, `the rest of it: expected ${expected}${size} in Content-Range`);
}

/**
 * Reads the rest of an answer to an upload.
 *
 * @throws {PolarisError} IMAGE_DIGEST_MISMATCH if the registry calls what it got otherwise than we do
 */
export async function requireStored(answer: RegistryAnswer, digest: string, subject: string): Promise<void> {
  await discardBody(answer);
  const announced = announcedDigest(answer, subject);
  if (announced !== undefined && announced !== digest) throw mismatch(subject, `digest ${digest}`, announced);
}

/** Without parameters such as a character set. */
export function contentTypeOf({ headers, url }: RegistryAnswer, subject: string): string {
  const type = headers["content-type"]?.split(";", 1)[0]?.trim().toLowerCase();
  if (type !== undefined && /^[\w.+-]{1,127}\/[\w.+-]{1,127}$/.test(type)) return type;
  throw outsideProtocol(url, subject, "a Content-Type");
}

/**
 * Where the rest of a list is (RFC 8288), if there is more of it.
 *
 * @throws {PolarisError} REGISTRY_FAILED if that is nowhere that we go, or cannot be understood: a list that ends too early
 *   looks like a whole one
 */
export function nextPage(answer: RegistryAnswer, subject: string): URL | undefined {
  const links = parseLinks(answer.headers["link"]);
  if (links === undefined) throw outsideProtocol(answer.url, subject, "a Link that can be read (RFC 8288)");
  const next = links.find(({ relations }) => relations.includes("next"));
  return next === undefined ? undefined : leadTo(answer, next.target);
}

export function outsideProtocol({ host }: URL, subject: string, expected: string): PolarisError {
  return new PolarisError("REGISTRY_FAILED", `${host} answered for ${subject} without ${expected}`, {
    hint: "check that this is a container registry; if it is, tell those who run it",
    details: { host },
  });
}
