/** For tests: a stack directory with parts that are small shell scripts, all of it gone at the end of the test. */
import { enableCompileCache } from "node:module";
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endPart } from "./end-part.ts";
import { findMarkedProcesses } from "./marked-processes.ts";
import { PART_NAMES } from "./part-spec.ts";
import type { PartName, PartSpec } from "./part-spec.ts";
import { signalProcess } from "./process-identity.ts";

// As the command line does: runners start in half the time.
enableCompileCache();

/** Where the fixture is cleaned up: a test's context. */
export interface Cleanup {
  after(clean: () => Promise<void>): void;
}

export async function makeStackDir(t: Cleanup): Promise<string> {
  const stackDir = await realpath(await mkdtemp(join(tmpdir(), "polaris-stack-")));
  t.after(async () => {
    for (const part of PART_NAMES) await endPart(stackDir, part);
    for (const { identity } of findMarkedProcesses(stackDir)) signalProcess(identity, "SIGKILL");
    await rm(stackDir, { recursive: true, force: true });
  });
  return stackDir;
}

/** A part that is ready at once, has a descendant, and ends itself at SIGTERM. */
export function scriptPart(stackDir: string, name: PartName, changes: Partial<PartSpec> = {}): PartSpec {
  const ready = join(stackDir, `${name}.ready`);
  return shellPart(stackDir, name, `trap 'exit 0' TERM; sleep 1000 & echo up; echo up > '${ready}'; wait`, {
    probes: [{ kind: "file", path: ready }],
    ...changes,
  });
}

export function shellPart(
  stackDir: string,
  name: PartName,
  script: string,
  changes: Partial<PartSpec> = {},
): PartSpec {
  return {
    name,
    command: ["/bin/sh", "-c", script],
    cwd: stackDir,
    env: { PATH: "/usr/local/bin:/usr/bin:/bin" },
    probes: [],
    readyTimeoutMs: 20_000,
    graceMs: 2_000,
    ...changes,
  };
}
