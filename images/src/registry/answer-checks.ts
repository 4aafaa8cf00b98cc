import { PolarisError } from "@polaris-cvm/sdk/errors";
import { MAX_MANIFEST_BYTES } from "../manifest.ts";
import type { AuthorizationRequest } from "./authentication.ts";
import { mismatch } from "../checked-bytes.ts";
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
export function announcedDigest({ headers, url }: RegistryAnswer, subject: string): string | undefined {
  const header = headers["docker-content-digest"];
  if (header === undefined) return undefined;
  if (typeof header === "string" && /^sha256:[0-9a-f]{64}$/.test(header)) return header;
  throw outsideProtocol(url, subject, "a SHA-256 digest in Docker-Content-Digest");
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
 * @throws {PolarisError} REGISTRY_FAILED if that is nowhere that we go
 */
export function nextPage(answer: RegistryAnswer): URL | undefined {
  const { link } = answer.headers;
  const header = typeof link === "string" ? link : (link ?? []).join(", ");
  const next = /<([^<>]*)>\s*;\s*rel="?next"?\s*(?:[;,]|$)/i.exec(header)?.[1];
  return next === undefined ? undefined : leadTo(answer, next);
}

export function outsideProtocol({ host }: URL, subject: string, expected: string): PolarisError {
  return new PolarisError("REGISTRY_FAILED", `${host} answered for ${subject} without ${expected}`, {
    hint: "check that this is a container registry; if it is, tell those who run it",
    details: { host },
  });
}
