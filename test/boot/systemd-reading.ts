import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import type { ReadCloudConfig } from "../../images/testing/read-cloud-config.ts";

const run = promisify(execFile);

const SYSTEMD = "/lib/systemd/systemd";

/** For the `skip` of a test: why systemd cannot read units here, or false. */
export const SYSTEMD_MISSING =
  process.platform !== "linux"
    ? "systemd is on Linux only"
    : process.getuid?.() !== 0
      ? "only root can read units as nobody"
      : existsSync(SYSTEMD) && existsSync("/usr/bin/systemd-analyze")
        ? false
        : "systemd is not installed here";

/** The units of a cloud-config in a folder that systemd finds them in. */
export interface UnitFolder extends AsyncDisposable {
  readonly path: string;
  readonly names: readonly string[];
}

export async function writeUnits({ files }: ReadCloudConfig): Promise<UnitFolder> {
  const path = await mkdtemp(join(tmpdir(), "polaris-units-"));
  // Nobody reads them.
  await chmod(path, 0o755);
  const names: string[] = [];
  for (const file of files.values()) {
    if (!file.path.startsWith("/etc/systemd/system/")) continue;
    names.push(basename(file.path));
    await writeFile(join(path, basename(file.path)), file.text, { mode: 0o644 });
  }
  return { path, names, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

/**
 * The commands of a unit as systemd has read them: it loads the unit and all that it needs, prints them and starts nothing.
 *
 * @returns program and arguments of every `Exec…` line, in the order of the unit
 */
export async function readCommands(folder: UnitFolder, unit: string): Promise<string[][]> {
  const { stdout } = await run(
    // As root it refuses to only look.
    "setpriv",
    ["--reuid=65534", "--regid=65534", "--clear-groups", SYSTEMD, "--test", "--system", `--unit=${unit}`],
    {
      env: { PATH: process.env["PATH"] ?? "", SYSTEMD_UNIT_PATH: `${folder.path}:`, SYSTEMD_PAGER: "cat" },
      maxBuffer: 64 * 1024 * 1024,
      timeout: 20_000,
    },
  );
  const [, unitText = ""] = stdout.split(`\t-> Unit ${unit}:\n`);
  const [own = ""] = unitText.split(/^\t-> Unit /m);
  return own
    .split("\n")
    .filter((line) => line.startsWith("\t\t\tCommand Line: "))
    .map((line) => splitShown(line.slice("\t\t\tCommand Line: ".length)));
}

const SHOWN: Readonly<Record<string, string>> = {
  a: "\u0007",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/** A command line as systemd shows it: words as they are, or in double quotes with escapes of C. */
function splitShown(line: string): string[] {
  const words = line.match(/"(?:[^"\\]|\\.)*"|[^ ]+/gs) ?? [];
  return words.map((word) => {
    if (!word.startsWith('"')) return word;
    const bytes: number[] = [];
    for (const [, octal, escaped, plain] of word.slice(1, -1).matchAll(/\\([0-7]{3})|\\(.)|([^\\])/gsu)) {
      if (octal !== undefined) bytes.push(Number.parseInt(octal, 8));
      else bytes.push(...Buffer.from(plain ?? SHOWN[escaped ?? ""] ?? escaped ?? ""));
    }
    return Buffer.from(bytes).toString();
  });
}

/** What `systemd-analyze verify` says of the units; empty if all is well. */
export async function verifyUnits(folder: UnitFolder): Promise<string> {
  const runtimeDir = join(folder.path, "runtime");
  await mkdir(runtimeDir, { recursive: true });
  const paths = folder.names.map((name) => join(folder.path, name.replace("@.", "@1.")));
  const { stderr } = await run("systemd-analyze", ["verify", "--man=no", ...paths], {
    env: {
      PATH: process.env["PATH"] ?? "",
      SYSTEMD_UNIT_PATH: `${folder.path}:`,
      XDG_RUNTIME_DIR: runtimeDir,
    },
    timeout: 20_000,
  }).catch((error: unknown) => error as { readonly stderr: string });
  return stderr;
}
