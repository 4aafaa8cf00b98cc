import { fileURLToPath } from "node:url";
import { build, type Metafile } from "esbuild";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export interface Bundle {
  readonly code: Uint8Array;
  readonly metafile: Metafile;
}

/**
 * Bundles a module for browsers, as those who build web pages do it.
 *
 * @param source     TypeScript, with imports as seen from the root of the repository
 * @param globalName  the global variable for its exports; without it the bundle is a module
 */
export async function bundleForBrowsers(source: string, globalName?: string): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    stdin: { contents: source, loader: "ts", resolveDir: ROOT },
    absWorkingDir: ROOT,
    bundle: true,
    minify: true,
    platform: "browser",
    target: "es2024",
    ...(globalName === undefined ? { format: "esm" } : { format: "iife", globalName }),
    legalComments: "none",
    logLevel: "silent",
    metafile: true,
    write: false,
  });
  const [file] = outputFiles;
  if (file === undefined) throw new Error("esbuild gave no bundle");
  return { code: file.contents, metafile };
}
