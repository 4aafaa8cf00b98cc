import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { access, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { unzipSync } from "fflate";
import { discoveryFolder } from "../cloud/gcp/discovery.ts";

/** The Python client of Google's APIs has all discovery documents in it. */
const PACKAGE = "google-api-python-client==2.202.0";
const WHEEL = "google_api_python_client-2.202.0-py3-none-any.whl";
const WHEEL_SHA256 = "aaa90064c9bb642ff1d065b22ca8958a2cb6e345909cefe70d0e5452fc50e08b";
const FOLDER_IN_WHEEL = "googleapiclient/discovery_cache/documents/";
const DOCUMENTS = [
  "artifactregistry.v1",
  "cloudbilling.v1",
  "cloudkms.v1",
  "cloudresourcemanager.v1",
  "cloudresourcemanager.v3",
  "compute.beta",
  "compute.v1",
  "iam.v1",
  "iamcredentials.v1",
  "logging.v2",
  "oauth2.v2",
  "orgpolicy.v2",
  "secretmanager.v1",
  "serviceusage.v1",
  "serviceusage.v1beta1",
  "sts.v1",
].map((name) => `${name}.json`);
const DOWNLOAD_TIMEOUT_MS = 180_000;

/**
 * Downloads the discovery documents once, to the folder that the simulated cloud reads.
 *
 * @returns the folder
 */
export async function provideDiscovery(): Promise<string> {
  const folder = discoveryFolder();
  const present = await Promise.allSettled(DOCUMENTS.map((name) => access(join(folder, name))));
  if (present.every(({ status }) => status === "fulfilled")) return folder;
  const work = await mkdtemp(join(tmpdir(), "polaris-discovery-"));
  try {
    const documents = readDocuments(await downloadWheel(work));
    await mkdir(dirname(folder), { recursive: true });
    const fresh = await mkdtemp(`${folder}.`);
    for (const [name, content] of documents) await writeFile(join(fresh, name), content);
    await rm(folder, { recursive: true, force: true });
    await rename(fresh, folder);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return folder;
}

async function downloadWheel(work: string): Promise<Uint8Array> {
  const args = [
    "-m",
    "pip",
    "download",
    "--quiet",
    "--no-deps",
    "--only-binary=:all:",
    "--dest",
    work,
    PACKAGE,
  ];
  await promisify(execFile)("python3", args, { timeout: DOWNLOAD_TIMEOUT_MS });
  const wheel = await readFile(join(work, WHEEL));
  const sha256 = createHash("sha256").update(wheel).digest("hex");
  if (sha256 !== WHEEL_SHA256) throw new Error(`${WHEEL} has the sha256 ${sha256}, expected ${WHEEL_SHA256}`);
  return wheel;
}

function readDocuments(wheel: Uint8Array): readonly (readonly [name: string, content: Uint8Array])[] {
  const wanted = new Set(DOCUMENTS.map((name) => FOLDER_IN_WHEEL + name));
  const files = unzipSync(wheel, { filter: ({ name }) => wanted.has(name) });
  return DOCUMENTS.map((name) => {
    const content = files[FOLDER_IN_WHEEL + name];
    if (content === undefined) throw new Error(`${WHEEL} has no ${name}`);
    return [name, content] as const;
  });
}

if (import.meta.main) process.stdout.write(`${await provideDiscovery()}\n`);
