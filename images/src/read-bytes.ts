import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { Image } from "./image.ts";
import type { Descriptor } from "./manifest.ts";

/**
 * A whole blob in memory: for configurations and other small documents only.
 *
 * @param what  how messages call it
 * @throws {PolarisError} IMAGE_TOO_LARGE before anything is read; IMAGE_DIGEST_MISMATCH
 */
export async function readSmallBlob(
  blob: Descriptor,
  open: Image["openBlob"],
  options: { readonly what: string; readonly maxBytes: number; readonly signal: AbortSignal },
): Promise<Uint8Array> {
  if (blob.size > options.maxBytes) {
    throw new PolarisError(
      "IMAGE_TOO_LARGE",
      `${options.what} is announced with ${blob.size} bytes; ${options.maxBytes} is the most that is read`,
    );
  }
  const pieces: Uint8Array[] = [];
  for await (const piece of open(blob, options.signal)) pieces.push(piece);
  return Buffer.concat(pieces);
}
