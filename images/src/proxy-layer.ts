/** The one layer of the proxy image that is ours. It hangs on this installation alone: no base, no network. */
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { gzipSync } from "fflate";
import { MAX_ARCHIVE_NUMBER, writeArchive } from "./layer-archive.ts";
import type { ArchiveFile } from "./layer-archive.ts";
import { digestOf } from "./manifest.ts";
import { bundleProxy } from "./proxy-bundle.ts";
import type { BundledPackage } from "./proxy-bundle.ts";
import { PROXY_FILE, PROXY_FOLDER } from "./proxy-entrypoint.ts";

export interface ProxyLayer {
  /** A tar, compressed by gzip. */
  readonly bytes: Uint8Array;
  /** Of the compressed bytes: `sha256:` and 64 hex digits. */
  readonly digest: string;
  /** Of the tar. */
  readonly diffId: string;
  /** Version of the proxy, which is that of Polaris. */
  readonly version: string;
  /** Where the proxy's package says that its source is. */
  readonly repository: string | undefined;
  /** ISO 8601, of everything in the image that has a time. */
  readonly created: string;
  readonly files: readonly ArchiveFile[];
  readonly packages: readonly BundledPackage[];
}

/**
 * Makes the layer of this installation's proxy: the same sources and time give the same bytes on every machine.
 *
 * @param sourceDateEpoch  seconds since 1970, for everything that has a time
 * @throws {PolarisError} IMAGE_BUILD_FAILED if the proxy cannot be bundled; USAGE_INVALID for a time that is none
 */
export async function makeProxyLayer(sourceDateEpoch = 0): Promise<ProxyLayer> {
  const created = formatTime(sourceDateEpoch);
  const { code, packages } = await bundleProxy();
  const { version, repository } = proxyOf(packages);
  const files: readonly ArchiveFile[] = [
    { path: `${PROXY_FOLDER.slice(1)}/${PROXY_FILE}`, content: code },
    { path: `${PROXY_FOLDER.slice(1)}/licenses.txt`, content: formatLicenses(packages) },
  ];
  const archive = writeArchive(files, sourceDateEpoch);
  // In JavaScript, because the zlib of another Node or machine may write other bytes.
  const bytes = gzipSync(archive, { level: 9, mtime: 0 });
  return {
    bytes,
    digest: digestOf(bytes),
    diffId: digestOf(archive),
    version,
    repository,
    created,
    files,
    packages,
  };
}

function formatTime(sourceDateEpoch: number): string {
  const isTime = Number.isSafeInteger(sourceDateEpoch) && sourceDateEpoch >= 0;
  if (!isTime || sourceDateEpoch > MAX_ARCHIVE_NUMBER) {
    throw new PolarisError(
      "USAGE_INVALID",
      `SOURCE_DATE_EPOCH must be whole seconds from 0 to ${MAX_ARCHIVE_NUMBER}, got ${sourceDateEpoch}`,
      { hint: "leave it away, or take the time of the last commit: git log -1 --format=%ct" },
    );
  }
  return `${new Date(sourceDateEpoch * 1000).toISOString().slice(0, 19)}Z`;
}

function proxyOf(packages: readonly BundledPackage[]): BundledPackage {
  const proxy = packages.find(({ name }) => name === "@polaris-cvm/proxy");
  if (proxy === undefined) throw new PolarisError("IMAGE_BUILD_FAILED", "the proxy is not in its own bundle");
  return proxy;
}

function formatLicenses(packages: readonly BundledPackage[]): Uint8Array {
  const parts = packages.map(({ name, version, license, licenseText }) => {
    const head = `${name} ${version} (${license})`;
    return licenseText === undefined ? `${head}\n` : `${head}\n\n${licenseText}\n`;
  });
  return Buffer.from(
    `What is in ${PROXY_FILE}, and its licences.\n\n${parts.join(`\n${"-".repeat(80)}\n\n`)}`,
  );
}
