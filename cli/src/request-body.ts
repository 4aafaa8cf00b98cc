import { readFile, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { buffer } from "node:stream/consumers";
import { PolarisError } from "@polaris-cvm/sdk/errors";

/** `--data`: text as it is, `@file` a file's bytes (from the shell's folder, whatever -C says), `@-` standard input. */
export async function readRequestBody(
  data: string | undefined,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (data === undefined) return undefined;
  if (data === "@-") return new Uint8Array(await buffer(process.stdin));
  if (!data.startsWith("@")) return new TextEncoder().encode(data);
  const path = resolve(data.slice(1));
  try {
    return new Uint8Array(await readFile(path));
  } catch (cause) {
    throw new PolarisError("USAGE_INVALID", `cannot read ${path}`, { cause });
  }
}

export async function writeResponseBody(file: string, bytes: Uint8Array): Promise<void> {
  const path = resolve(file);
  try {
    await writeFile(path, bytes);
  } catch (cause) {
    throw new PolarisError("STATE_UNWRITABLE", `cannot write ${path}`, { cause });
  }
}
