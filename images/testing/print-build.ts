/** A program that builds the image of the sources that it lies in, and prints what came out: one line of JSON. */
import { readFile, readdir } from "node:fs/promises";
import { buildProxyImage } from "../src/proxy-image.ts";
import { digestOf } from "../src/manifest.ts";
import { createSmallBase } from "./small-base.ts";

/** What the program prints. */
export interface PrintedBuild {
  readonly digest: string;
  readonly sbomDigest: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Most memory of this process and of the bundler, each at its own peak. */
  readonly peakBytes: number;
}

const { signal } = new AbortController();
const image = await buildProxyImage({ base: createSmallBase(), baseName: "small", signal });
const [config] = await Array.fromAsync(image.openBlob(image.config, signal));
const { Labels: labels } = (
  JSON.parse(String(Buffer.from(config ?? []))) as { config: { Labels: Record<string, string> } }
).config;
const printed: PrintedBuild = {
  digest: image.manifest.digest,
  sbomDigest: digestOf(image.sbom),
  labels,
  peakBytes: await readPeakBytes(),
};
process.stdout.write(`${JSON.stringify(printed)}\n`);

/** The bundler is a child process that stays. */
async function readPeakBytes(): Promise<number> {
  const ids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  let byteCount = 0;
  for (const id of ids) {
    const status = await readFile(`/proc/${id}/status`, "utf8").catch(() => "");
    const isOurs = Number(id) === process.pid || Number(/^PPid:\s+(\d+)$/m.exec(status)?.[1]) === process.pid;
    if (isOurs) byteCount += 1024 * Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0);
  }
  return byteCount;
}
