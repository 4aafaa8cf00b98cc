import type { Image } from "../src/image.ts";
import type { Descriptor } from "../src/manifest.ts";

/** All bytes of a blob; of one that is small. */
export async function collect(image: Image, blob: Descriptor): Promise<Uint8Array> {
  return Buffer.concat(await Array.fromAsync(image.openBlob(blob, new AbortController().signal)));
}
