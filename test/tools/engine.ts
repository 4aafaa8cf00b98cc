/**
 * `npm run engine [-- --pulumi DIR|FILE]`: finds a Pulumi engine, or builds the real one from its published Go modules
 * (test/tools/pulumi has their hashes) to where every Pulumi tool of the user looks for it. Prints its path.
 */
import { spawn } from "node:child_process";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { isPolarisError } from "@polaris-cvm/sdk/errors";
import { ENGINE_VERSION } from "@polaris-cvm/stacks/engine/engine-version.ts";
import { engineRoot, findEngine, pulumiHomeOf } from "@polaris-cvm/stacks/engine/find-engine.ts";

const MODULE = fileURLToPath(new URL("pulumi", import.meta.url));
const PROGRAM = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi";
const VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version";

/** How often to say that the build still runs, in milliseconds. */
const REPORT_EVERY_MS = 20_000;

const { values } = parseArgs({ options: { pulumi: { type: "string" } } });
try {
  console.log(await findOrBuild(values.pulumi));
} catch (error) {
  if (!isPolarisError(error)) throw error;
  console.error(`${error.code}: ${error.message}${error.hint === undefined ? "" : `\n${error.hint}`}`);
  process.exitCode = error.exitCode;
}

async function findOrBuild(chosen: string | undefined): Promise<string> {
  const pulumiHome = pulumiHomeOf(process.env);
  const found = await findEngine({
    ...(chosen !== undefined && { chosen }),
    searchPath: process.env["PATH"] ?? "",
    pulumiHome,
  });
  if (found !== undefined) {
    console.error(`pulumi ${found.version} is there`);
    return found.path;
  }
  const path = join(engineRoot(pulumiHome, ENGINE_VERSION), "bin", "pulumi");
  await build(path);
  // Whatever was built, only what says that it is this engine is one.
  const built = await findEngine({ chosen: path, searchPath: process.env["PATH"] ?? "", pulumiHome });
  return built?.path ?? path;
}

async function build(path: string): Promise<void> {
  const beginMs = performance.now();
  const seconds = (): string => `${Math.round((performance.now() - beginMs) / 1000)} s`;
  console.error(
    `building pulumi ${ENGINE_VERSION} from its Go modules: about 4 minutes, once on this machine`,
  );
  const report = setInterval(() => console.error(`  … ${seconds()}`), REPORT_EVERY_MS);
  await mkdir(join(path, ".."), { recursive: true });
  // Aside first: a build that is stopped must not leave a program that looks whole.
  const aside = `${path}.${process.pid}.tmp`;
  try {
    const ldflags = `-s -w -X ${VERSION_VARIABLE}=v${ENGINE_VERSION}`;
    const flags = ["-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", ldflags];
    await runGo(["build", ...flags, "-o", aside, PROGRAM]);
    await rename(aside, path);
  } finally {
    clearInterval(report);
    await rm(aside, { force: true });
  }
  console.error(`pulumi ${ENGINE_VERSION} built in ${seconds()}`);
}

async function runGo(args: readonly string[]): Promise<void> {
  const go = spawn("go", args, {
    cwd: MODULE,
    env: { ...process.env, CGO_ENABLED: "0" },
    // Nothing but the path may be on our standard output.
    stdio: ["ignore", process.stderr, "inherit"],
  });
  await new Promise<void>((resolve, reject) => {
    go.once("error", (cause) =>
      reject(new Error("go cannot be started: install Go 1.26 or newer", { cause })),
    );
    go.once("exit", (code) => (code === 0 ? resolve() : reject(new Error(`go build ended with ${code}`))));
  });
}
