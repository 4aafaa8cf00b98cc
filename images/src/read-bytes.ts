import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { Image } from "./image.ts";
import type { Descriptor } from "./manifest.ts";

/** 4 MiB at 35 KiB/s, as for manifests. */
const DEADLINE_MS = 120_000;

/**
 * A whole blob in memory: for configurations and other small documents only.
 *
 * @param what  how messages call it
 * @param deadlineMs  for all of it: a server that sends a byte now and then does not keep us
 * @throws {PolarisError} IMAGE_TOO_LARGE before anything is read; IMAGE_DIGEST_MISMATCH; REGISTRY_UNREACHABLE after the
 *   deadline
 */
export async function readSmallBlob(
  blob: Descriptor,
  open: Image["openBlob"],
  options: {
    readonly what: string;
    readonly maxBytes: number;
    readonly signal: AbortSignal;
    readonly deadlineMs?: number;
  },
): Promise<Uint8Array> {
  if (blob.size > options.maxBytes) {
    throw new PolarisError(
      "IMAGE_TOO_LARGE",
      `${options.what} is announced with ${blob.size} bytes; ${options.maxBytes} is the most that is read`,
      { hint: "no real one is that long: check what was pushed" },
    );
  }
  const { what, signal, deadlineMs = DEADLINE_MS } = options;
  const deadline = AbortSignal.timeout(deadlineMs);
  const pieces: Uint8Array[] = [];
  try {
    for await (const piece of open(blob, AbortSignal.any([signal, deadline]))) pieces.push(piece);
  } catch (error) {
    if (error !== deadline.reason || !deadline.aborted) throw error;
    throw new PolarisError("REGISTRY_UNREACHABLE", `${what} has not come within ${deadlineMs / 1000} s`, {
      hint: "check the connection to where the image is, and try again",
    });
  }
  return Buffer.concat(pieces);
}
