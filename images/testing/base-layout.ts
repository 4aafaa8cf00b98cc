/**
 * A base image that runs, made of this machine: its Node, the libraries that it needs, and what a program expects of a
 * Linux. For tests where the image is run; they have no network to get a real base from.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, digestOf } from "../src/manifest.ts";
import type { Descriptor } from "../src/manifest.ts";

const run = promisify(execFile);

/**
 * Makes the base once for all tests, in the folder for temporary files: by what it is made of, so that another Node or
 * another version of this file makes another one.
 *
 * @returns folder of an OCI layout with one image for linux/amd64, called `base`
 */
export async function makeBaseLayout(): Promise<string> {
  const libraries = await listLibraries();
  const key = createHash("sha256")
    .update(await readFile(fileURLToPath(import.meta.url)))
    .update(process.version)
    .update(libraries.join("\n"))
    .digest("hex");
  const directory = join(tmpdir(), `polaris-test-base-${process.getuid?.() ?? 0}-${key.slice(0, 16)}`);
  if (await isThere(directory)) return directory;

  const making = await mkdtemp(`${directory}-`);
  try {
    await makeRoot(join(making, "root"), libraries);
    await writeBase(join(making, "root"), join(making, "layout"));
    await rename(join(making, "layout"), directory).catch(async (error: unknown) => {
      // Another test was faster, and made the same.
      if (!(await isThere(directory))) throw error;
    });
  } finally {
    await rm(making, { recursive: true, force: true });
  }
  return directory;
}

/** Libraries of Node by the paths that they are searched at, the loader among them. */
async function listLibraries(): Promise<string[]> {
  const { stdout } = await run("ldd", [process.execPath]);
  const libraries = stdout.split("\n").flatMap((line) => /(?:=>\s+|^\s+)(\/\S+) \(/.exec(line)?.[1] ?? []);
  if (!libraries.some((path) => path.includes("/ld-linux"))) throw new Error(`no loader in: ${stdout}`);
  return libraries.toSorted();
}

async function makeRoot(root: string, libraries: readonly string[]): Promise<void> {
  const put = async (from: string, path: string): Promise<void> => {
    await mkdir(join(root, dirname(path)), { recursive: true });
    await copyFile(await realpath(from), join(root, path));
    await chmod(join(root, path), 0o755);
  };
  await put(process.execPath, "/usr/local/bin/node");
  for (const path of libraries) await put(path, path);
  for (const folder of ["dev", "etc", "proc", "run", "sys", "tmp", "home/node"]) {
    await mkdir(join(root, folder), { recursive: true });
  }
  await chmod(join(root, "tmp"), 0o1777);
  await writeFile(
    join(root, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/false\nnode:x:1000:1000::/home/node:/bin/false\n",
  );
  await writeFile(join(root, "etc/group"), "root:x:0:\nnode:x:1000:\n");
  await writeFile(join(root, "etc/nsswitch.conf"), "hosts: files dns\n");
}

async function writeBase(root: string, layout: string): Promise<void> {
  const blobs = join(layout, "blobs/sha256");
  await mkdir(blobs, { recursive: true });
  const place = [
    "--create",
    "--sort=name",
    "--owner=0",
    "--group=0",
    "--numeric-owner",
    "--mtime=@0",
    "--directory",
    root,
    ".",
  ];
  const archive = join(layout, "layer.tar");
  await run("tar", ["--file", archive, ...place]);
  const diffId = await digestOfFile(archive);
  // The quickest level: it is written once and read from the same disk.
  await run("gzip", ["-1", "--no-name", archive]);
  const digest = await digestOfFile(`${archive}.gz`);
  const layer: Descriptor = { mediaType: OCI_LAYER_GZIP, digest, size: (await stat(`${archive}.gz`)).size };
  await rename(`${archive}.gz`, join(blobs, digest.slice("sha256:".length)));

  const put = async (document: object, mediaType: string): Promise<Descriptor> => {
    const bytes = Buffer.from(JSON.stringify(document));
    await writeFile(join(blobs, digestOf(bytes).slice("sha256:".length)), bytes);
    return { mediaType, digest: digestOf(bytes), size: bytes.length };
  };
  const config = await put(
    {
      architecture: "amd64",
      os: "linux",
      config: {
        Env: [`PATH=/usr/local/bin`, `NODE_VERSION=${process.versions.node}`],
        Cmd: ["node"],
        User: "node",
      },
      rootfs: { type: "layers", diff_ids: [diffId] },
    },
    OCI_CONFIG,
  );
  const manifest = await put(
    { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [layer] },
    OCI_MANIFEST,
  );
  const entry = { ...manifest, annotations: { "org.opencontainers.image.ref.name": "base" } };
  await writeFile(join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
}

async function digestOfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path) as AsyncIterable<Buffer>) hash.update(piece);
  return `sha256:${hash.digest("hex")}`;
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
