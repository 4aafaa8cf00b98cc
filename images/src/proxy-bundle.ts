/**
 * The proxy as one file of JavaScript. Its text depends on the sources alone: not on the folder they are in, nor on how
 * npm has laid the packages out, because every file is known to the bundler by its package and its path inside.
 */
import { readFile, readdir } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { build } from "esbuild";
import type { BuildFailure, Loader, OnResolveArgs, OnResolveResult, Plugin, PluginBuild } from "esbuild";
import * as z from "zod";

const ENTRY = "@polaris-cvm/proxy/bin";

/** CommonJS packages call `require` for the modules of Node; a bundle of ES modules has to give it to them. */
const REQUIRE_FOR_COMMONJS =
  'import { createRequire as createRequireForBundle } from "node:module";\n' +
  "const require = createRequireForBundle(import.meta.url);\n";

/** A package of which files are in the bundle. */
export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  /** SPDX expression, as its manifest has it. */
  readonly license: string;
  /** The licence and the notices that come with it; of our own packages only if they have them. */
  readonly licenseText: string | undefined;
  /** Where the manifest says that its source is. */
  readonly repository: string | undefined;
  /** Paths inside the package, in order. */
  readonly files: readonly string[];
}

export interface ProxyBundle {
  /** UTF-8 text of one ES module, to be run by Node. */
  readonly code: Uint8Array;
  /** By name. */
  readonly packages: readonly BundledPackage[];
}

/**
 * What may be in it: the proxy, the SDK and what they name as dependencies. Whoever lets anything else in makes the proxy
 * bigger and harder to judge, so that it has to be said here.
 */
const ALLOWED_PACKAGES: ReadonlySet<string> = new Set([
  "@opentelemetry/api",
  "@polaris-cvm/proxy",
  "@polaris-cvm/sdk",
  "bintrees",
  "jose",
  "prom-client",
  "tdigest",
  "undici",
  "zod",
]);

/**
 * Bundles the proxy of this installation.
 *
 * Rejects with IMAGE_BUILD_FAILED if the bundler does not understand the sources, or if anything gets in that has no
 * business in the proxy: another package, a test.
 */
export async function bundleProxy(): Promise<ProxyBundle> {
  const read = new Map<string, SourceFile>();
  const versions = new Map<string, Set<string>>();
  const result = await build({
    entryPoints: [ENTRY],
    absWorkingDir: dirname(fileURLToPath(import.meta.url)),
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    target: "node26",
    charset: "utf8",
    // Licences are listed whole in a file of their own.
    legalComments: "none",
    // What Node does with types, and not what a tsconfig.json says that is or is not there.
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
    banner: { js: REQUIRE_FOR_COMMONJS },
    logLevel: "silent",
    plugins: [canonicalNames(read, versions)],
  }).catch((cause: unknown) => {
    throw new PolarisError("IMAGE_BUILD_FAILED", `cannot bundle the proxy: ${describeFailure(cause)}`, {
      hint: "install the packages of the lockfile anew: npm ci",
      cause,
    });
  });
  const code = result.outputFiles[0]?.contents;
  if (code === undefined) throw new PolarisError("IMAGE_BUILD_FAILED", "the bundler gave nothing back");
  for (const [name, found] of versions) {
    if (found.size > 1) {
      const list = [...found].toSorted().join(" and ");
      throw new PolarisError("IMAGE_BUILD_FAILED", `${name} is there in two versions: ${list}`);
    }
  }
  return { code, packages: await listPackages([...read.values()]) };
}

/** The first thing that esbuild does not like, and where. */
function describeFailure(error: unknown): string {
  const [first] = (error as Partial<BuildFailure>).errors ?? [];
  if (first === undefined) return error instanceof Error ? error.message : "unknown reason";
  return first.location === null
    ? first.text
    : `${first.location.file}:${first.location.line}: ${first.text}`;
}

interface SourceFile {
  readonly owner: Manifest;
  /** Path inside the package, with slashes. */
  readonly path: string;
}

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license: string | undefined;
  readonly repository: string | undefined;
  readonly directory: string;
}

const NAMESPACE = "package";

/**
 * Lets esbuild find every file as it always does, and then names it by package and path. Two copies of a package are one
 * then, which only two of the same version are.
 */
function canonicalNames(read: Map<string, SourceFile>, versions: Map<string, Set<string>>): Plugin {
  const manifests = new Map<string, Promise<Manifest>>();
  return {
    name: "canonical-names",
    setup(build) {
      build.onResolve({ filter: /.*/ }, (args) => resolveFile(build, args));
      build.onLoad({ filter: /.*/, namespace: NAMESPACE }, async (args) => {
        const { file } = args.pluginData as Resolved;
        const owner = await findManifest(dirname(file), manifests);
        read.set(args.path, { owner, path: relative(owner.directory, file).split(sep).join("/") });
        return {
          contents: await readFile(file),
          loader: chooseLoader(file),
          resolveDir: dirname(file),
          pluginData: args.pluginData,
        };
      });
    },
  };

  async function resolveFile(build: PluginBuild, args: OnResolveArgs): Promise<OnResolveResult | undefined> {
    // Our own question, which esbuild is to answer.
    if (args.pluginData === ASKED || args.path.startsWith("node:")) return undefined;
    const found = await build.resolve(args.path, {
      kind: args.kind,
      resolveDir: args.resolveDir,
      importer: (args.pluginData as Resolved | undefined)?.file ?? "",
      pluginData: ASKED,
    });
    if (found.errors.length > 0 || found.external || found.namespace !== "file") return found;
    const owner = await findManifest(dirname(found.path), manifests);
    versions.set(owner.name, (versions.get(owner.name) ?? new Set()).add(owner.version));
    const path = relative(owner.directory, found.path).split(sep).join("/");
    const pluginData: Resolved = { file: found.path };
    return {
      path: `${owner.name}/${path}`,
      namespace: NAMESPACE,
      pluginData,
      sideEffects: found.sideEffects,
    };
  }
}

const ASKED = Symbol("asked by ourselves");

interface Resolved {
  readonly file: string;
}

function chooseLoader(file: string): Loader {
  if (file.endsWith(".ts")) return "ts";
  return file.endsWith(".json") ? "json" : "js";
}

function findManifest(directory: string, known: Map<string, Promise<Manifest>>): Promise<Manifest> {
  const before = known.get(directory);
  if (before !== undefined) return before;
  const found = readManifest(directory).then((manifest) => {
    if (manifest !== undefined) return manifest;
    const parent = dirname(directory);
    if (parent === directory) throw new Error("a source file belongs to no package");
    return findManifest(parent, known);
  });
  known.set(directory, found);
  return found;
}

/** Also packages have `package.json` files that only say which kind of modules is in a folder. */
async function readManifest(directory: string): Promise<Manifest | undefined> {
  const text = await readFile(join(directory, "package.json"), "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const { name, version, license, repository } = manifest.parse(JSON.parse(text));
  if (name === undefined || version === undefined) return undefined;
  return { name, version, license, repository, directory };
}

const manifest = z.object({
  name: z.string().optional(),
  version: z.string().optional(),
  license: z.string().optional().catch(undefined),
  repository: z
    .union([z.string(), z.object({ url: z.string() }).transform(({ url }) => url)])
    .optional()
    .catch(undefined),
});

async function listPackages(files: readonly SourceFile[]): Promise<BundledPackage[]> {
  const byName = new Map<string, { owner: Manifest; paths: string[] }>();
  for (const { owner, path } of files) {
    if (!ALLOWED_PACKAGES.has(owner.name)) {
      throw new PolarisError("IMAGE_BUILD_FAILED", `${owner.name} has no business in the proxy`);
    }
    if (isOurs(owner) && /\.test\.ts$|^testing\//.test(path)) {
      throw new PolarisError("IMAGE_BUILD_FAILED", `a test has got into the proxy: ${owner.name}/${path}`);
    }
    const known = byName.get(owner.name);
    if (known === undefined) byName.set(owner.name, { owner, paths: [path] });
    else known.paths.push(path);
  }
  const packages = [...byName.values()].map(describePackage);
  return (await Promise.all(packages)).toSorted((one, other) => (one.name < other.name ? -1 : 1));
}

async function describePackage({
  owner,
  paths,
}: {
  readonly owner: Manifest;
  readonly paths: readonly string[];
}): Promise<BundledPackage> {
  const { name, version, license, repository, directory } = owner;
  const licenseText = await readLicense(directory);
  if (license === undefined || (licenseText === undefined && !isOurs(owner))) {
    throw new PolarisError("IMAGE_BUILD_FAILED", `${name} ${version} comes without a licence`);
  }
  return { name, version, license, licenseText, repository, files: paths.toSorted() };
}

async function readLicense(directory: string): Promise<string | undefined> {
  const names = (await readdir(directory)).filter((name) => LICENSE_FILE.test(name)).toSorted();
  if (names.length === 0) return undefined;
  const texts = await Promise.all(names.map((name) => readFile(join(directory, name), "utf8")));
  return texts.map((text) => text.trim()).join("\n\n");
}

/** Licences and the notices that some of them require to be passed on. */
const LICENSE_FILE = /^(licen[cs]e|notice)(\.md|\.txt)?$/i;

function isOurs({ name }: Pick<Manifest, "name">): boolean {
  return name.startsWith("@polaris-cvm/");
}
