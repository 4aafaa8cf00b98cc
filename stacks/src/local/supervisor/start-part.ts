import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { errnoOf, stateUnwritable, writeFileAtomic } from "../../atomic-file.ts";
import { makeFolder } from "../../make-folder.ts";
import { compileCacheEnvironment } from "./compile-cache.ts";
import { endPart } from "./end-part.ts";
import {
  LAUNCH_DIR_VARIABLE,
  LAUNCH_ID_VARIABLE,
  SECRET_VARIABLE_PREFIX,
  createLaunch,
  formatLaunch,
  launchFiles,
} from "./launch-files.ts";
import type { PartName, PartSpec } from "./part-spec.ts";
import { RUNNER_EXIT } from "./runner-exit.ts";

/** A runner that was just spawned, before there is a record of it. */
export interface StartedRunner {
  readonly launchId: string;
  /** Its exit code, or the signal that ended it; undefined while it runs. */
  end(): number | string | undefined;
}

/**
 * Starts one part in the background, in place of whatever there is of it; does not wait for it. For a command that holds
 * the stack lock.
 *
 * @param secretEnv  values of the secrets that the spec names; only those go to the part
 * @throws {PolarisError} SECRET_MISSING, STATE_UNWRITABLE, PART_FAILED
 */
export async function startPart(
  stackDir: string,
  spec: PartSpec,
  secretEnv: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<StartedRunner> {
  const launch = createLaunch(spec);
  const files = launchFiles(stackDir, spec.name);
  const env = runnerEnvironment(stackDir, launch.launchId, spec, secretEnv);
  await endPart(stackDir, spec.name, signal);
  for (const file of [files.record, files.log]) await makeFolder(dirname(file), 0o700);
  await writeFileAtomic(files.spec, formatLaunch(launch), { durable: false });
  const runner = spawnRunner(spec.name, files.spec, files.runnerLog, env);

  let end: number | string | undefined;
  runner.once("exit", (exitCode, signal) => {
    end = exitCode ?? signal ?? "unknown reason";
  });
  runner.once("error", (error) => {
    end = errnoOf(error) ?? "unknown reason";
  });
  // It is to outlive this process, and must not keep it from ending.
  runner.unref();
  return { launchId: launch.launchId, end: () => end };
}

/** Why a runner ended without a record of how its command ended. */
export async function describeRunnerFailure(
  stackDir: string,
  part: PartName,
  end: number | string,
): Promise<PolarisError> {
  const { runnerLog } = launchFiles(stackDir, part);
  const text = await readFile(runnerLog, "utf8").catch(() => "");
  const lastLine = text.trim().split("\n").at(-1) ?? "";
  if (end === RUNNER_EXIT.unwritable) {
    return new PolarisError("STATE_UNWRITABLE", lastLine === "" ? `cannot write to ${stackDir}` : lastLine, {
      hint: "make that place writable for you, or free some space, then run the command again",
      details: { part },
    });
  }
  const how = typeof end === "number" ? `exited with code ${end}` : `was ended by ${end}`;
  return new PolarisError("PART_FAILED", `the runner of ${part} ${how}`, {
    hint: lastLine === "" ? "run the command again" : `what it said is in ${runnerLog}`,
    details: { part, exitCode: null, signal: null, lastLines: [] },
  });
}

function runnerEnvironment(
  stackDir: string,
  launchId: string,
  spec: PartSpec,
  secretEnv: Readonly<Record<string, string>>,
): Record<string, string> {
  const env: Record<string, string> = {
    ...compileCacheEnvironment(),
    [LAUNCH_ID_VARIABLE]: launchId,
    [LAUNCH_DIR_VARIABLE]: stackDir,
  };
  for (const name of spec.secrets?.names ?? []) {
    const value = secretEnv[name];
    // The operating system's lists of variables end at a NUL; its own error would show the value.
    if (value === undefined || value.includes("\0")) {
      const problem = value === undefined ? "is missing" : "contains a NUL character";
      throw new PolarisError("SECRET_MISSING", `the secret ${name} of ${spec.name} ${problem}`);
    }
    env[SECRET_VARIABLE_PREFIX + name] = value;
  }
  return env;
}

function spawnRunner(
  part: PartName,
  specFile: string,
  runnerLog: string,
  env: Record<string, string>,
): ChildProcess {
  let output: number;
  try {
    output = openSync(runnerLog, "w", 0o600);
  } catch (cause) {
    throw stateUnwritable(runnerLog, cause);
  }
  try {
    return spawn(process.execPath, [runnerModule(), specFile], {
      cwd: dirname(specFile),
      env,
      // A session of its own: Ctrl-C and the end of the terminal do not reach it.
      detached: true,
      stdio: ["ignore", output, output],
    });
  } catch (cause) {
    // Without the cause: its text may show the environment, and so a secret.
    throw new PolarisError("PART_FAILED", `cannot start ${part}: ${errnoOf(cause) ?? "unknown reason"}`);
  } finally {
    closeSync(output);
  }
}

/** Beside this module, in the same form: TypeScript in the repository, JavaScript in a package. */
function runnerModule(): string {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  return join(dirname(fileURLToPath(import.meta.url)), `part-runner.${extension}`);
}
