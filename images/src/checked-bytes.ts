import { createHash } from "node:crypto";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { Descriptor } from "./manifest.ts";

/**
 * Passes bytes on as long as they can still be those that a descriptor names. The last of them come only when all are
 * known to be right, so whoever gets fewer than `size` bytes has nothing to trust.
 *
 * @param subject  how errors call the bytes
 * @throws {PolarisError} IMAGE_DIGEST_MISMATCH, at once for the first byte too many
 */
export async function* checkBytes(
  bytes: AsyncIterable<Uint8Array>,
  { digest, size }: Pick<Descriptor, "digest" | "size">,
  subject: string,
): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  let byteCount = 0;
  const requireDigest = (): void => {
    const actual = `sha256:${hash.digest("hex")}`;
    if (actual !== digest) throw mismatch(subject, `digest ${digest}`, actual);
  };
  if (size === 0) requireDigest();
  for await (const chunk of bytes) {
    if (chunk.byteLength === 0) continue;
    byteCount += chunk.byteLength;
    if (byteCount > size) throw mismatch(subject, `${size} bytes`, "more");
    hash.update(chunk);
    if (byteCount === size) requireDigest();
    yield chunk;
  }
  if (byteCount < size) throw mismatch(subject, `${size} bytes`, `only ${byteCount}`);
}

/** The error for bytes that are not what their name says. */
export function mismatch(subject: string, expected: string, actual: string): PolarisError {
  return new PolarisError("IMAGE_DIGEST_MISMATCH", `${subject}: expected ${expected}, got ${actual}`, {
    hint: "somebody or something has changed the image: do not use it, and push it again from where it was built",
    details: { expected, actual },
  });
}
