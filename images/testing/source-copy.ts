/** The sources that the image is built from, in another folder and as another npm might lay the packages out. */
import { cp, mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

const SOURCES = [
  "images/package.json",
  "images/src",
  "images/testing",
  "proxy/package.json",
  "proxy/bin",
  "proxy/src",
  "sdk/package.json",
  "sdk/src",
];

/** Where each package goes. Here all of them are at the top; there as many as possible are beside who needs them. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  esbuild: ["images/node_modules"],
  [`@esbuild/linux-${process.arch}`]: ["images/node_modules"],
  fflate: ["images/node_modules"],
  zod: ["node_modules", "proxy/node_modules"],
  undici: ["proxy/node_modules"],
  "prom-client": ["proxy/node_modules"],
  "@opentelemetry/api": ["proxy/node_modules/prom-client/node_modules"],
  tdigest: ["proxy/node_modules/prom-client/node_modules"],
  bintrees: ["proxy/node_modules/prom-client/node_modules/tdigest/node_modules"],
  jose: ["sdk/node_modules"],
};

export interface SourceCopy extends AsyncDisposable {
  readonly folder: string;
}

export async function copySources(): Promise<SourceCopy> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-sources-"));
  for (const path of SOURCES) await cp(join(ROOT, path), join(folder, path), { recursive: true });
  for (const [name, places] of Object.entries(PACKAGES)) {
    for (const place of places) {
      await cp(join(ROOT, "node_modules", name), join(folder, place, name), { recursive: true });
    }
  }
  for (const name of ["images", "proxy", "sdk"]) {
    const link = join(folder, "node_modules/@polaris-cvm", name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(join(folder, name), link);
  }
  return { folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}
