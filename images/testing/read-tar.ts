/** Reads archives with the `tar` of the system, which knows nothing of our writer. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";

/** One line an entry: mode, owner/group, bytes, time, name; in the order of the archive. @param archive  may be gzipped */
export async function listArchive(archive: Uint8Array): Promise<string[]> {
  const listed = await runTar(archive, "--list", "--verbose", "--numeric-owner", "--full-time", "--utc");
  return listed
    .trim()
    .split("\n")
    .map((line) => line.replace(/ +/g, " "));
}

export async function extractArchive(archive: Uint8Array, folder: string): Promise<void> {
  await runTar(archive, "--extract", "--directory", folder);
}

async function runTar(archive: Uint8Array, ...flags: string[]): Promise<string> {
  const isGzip = archive[0] === 0x1f;
  const child = spawn("tar", [...flags, ...(isGzip ? ["--gzip"] : []), "--file", "-"], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.end(archive);
  const [output, problems] = await Promise.all([text(child.stdout), text(child.stderr)]);
  if (child.exitCode === null) await once(child, "exit");
  if (child.exitCode !== 0 || problems !== "") throw new Error(`tar: ${problems}`);
  return output;
}
