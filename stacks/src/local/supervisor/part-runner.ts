/**
 * The parent of one part of a local stack: `node part-runner.ts <run/<part>.spec.json>`.
 *
 * Registers itself, starts the command, keeps its output in a log, and records how it ended. SIGTERM ends the command and
 * then this. The protocol with the commands is described in launch-files.ts.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isPolarisError } from "@polaris-cvm/sdk/errors";
import { createFileAtomic, errnoOf, stateUnwritable, writeFileAtomic } from "../../atomic-file.ts";
import {
  LAUNCH_DIR_VARIABLE,
  LAUNCH_ID_VARIABLE,
  SECRET_VARIABLE_PREFIX,
  formatRecord,
  launchFiles,
  readLaunch,
} from "./launch-files.ts";
import type { Launch, PartExit, PartRecord } from "./launch-files.ts";
import { PartLog } from "./part-log.ts";
import { DEFAULT_GRACE_MS } from "./part-spec.ts";
import { ownIdentity, readIdentity } from "./process-identity.ts";
import { RUNNER_EXIT } from "./runner-exit.ts";

/** How long to wait for the last output after the end: a stray descendant may hold the pipe open, in milliseconds. */
const DRAIN_MS = 250;

// The runner's environment is its way to get secrets: they must be in no file and no argument list.
// oxlint-disable-next-line node/no-process-env
const environment = process.env;

async function runPart(specPath: string, launchId: string, stackDir: string): Promise<void> {
  // Relative from here on: the project's folder may be moved while the part runs.
  process.chdir(join(dirname(specPath), ".."));
  const specFile = join("run", basename(specPath));
  const launch = await readWanted(specFile, launchId);
  const files = launchFiles("", launch.spec.name);
  const log = openLog(files.log);

  let record: PartRecord = {
    part: launch.spec.name,
    launchId,
    specDigest: launch.specDigest,
    stackDir,
    graceMs: launch.spec.graceMs ?? DEFAULT_GRACE_MS,
    startedAt: new Date().toISOString(),
    logStart: log.position(),
    runner: ownIdentity(),
  };
  if (!(await createFileAtomic(files.record, formatRecord(record), { durable: false }))) {
    process.exit(RUNNER_EXIT.alreadyRegistered);
  }
  // Only now: a command that removed the spec before this has not seen the record, and expects that nothing starts.
  await readWanted(specFile, launchId);

  const command = new RunningCommand(launch, log);
  if (command.identity !== undefined) {
    record = { ...record, child: command.identity };
    await writeFileAtomic(files.record, formatRecord(record), { durable: false });
  }
  // Node writes its cache of compiled modules only at the end of a process, and this one may live for weeks.
  flushCompileCache();
  const exit = await command.ended;
  log.close();
  await writeFileAtomic(files.record, formatRecord({ ...record, exit }), { durable: false });
  process.exit(RUNNER_EXIT.ended);
}

/** The launch, if the spec still names it; otherwise this process ends. */
async function readWanted(specFile: string, launchId: string): Promise<Launch> {
  const found = await readLaunch(specFile);
  if (found.is !== "valid" || found.value.launchId !== launchId) process.exit(RUNNER_EXIT.notWanted);
  return found.value;
}

function openLog(path: string): PartLog {
  try {
    return new PartLog(path);
  } catch (cause) {
    throw stateUnwritable(path, cause);
  }
}

/** The command as a process group; SIGTERM to this process ends it. */
class RunningCommand {
  /** Undefined if the command cannot be started; `ended` says why. */
  readonly identity: ReturnType<typeof readIdentity>;
  /** Resolves when it has ended and its output is in the log. */
  readonly ended: Promise<PartExit>;
  readonly #child: ChildProcess | undefined;
  readonly #graceMs: number;
  #requested = false;
  #isOver = false;
  #killTimer: NodeJS.Timeout | undefined;

  constructor(launch: Launch, log: PartLog) {
    this.#graceMs = launch.spec.graceMs ?? DEFAULT_GRACE_MS;
    process.on("SIGTERM", () => this.#stop());
    process.on("SIGINT", () => this.#stop());
    process.on("SIGHUP", () => {
      // The terminal of the command that started us is closed: that is why we are detached.
    });
    // Also if this process fails in a way that nobody foresaw, its child does not stay behind.
    process.on("exit", () => {
      if (!this.#isOver) this.#signalGroup("SIGKILL");
    });

    const child = startCommand(launch);
    if (typeof child === "string") {
      this.#isOver = true;
      log.writeLine(child);
      this.ended = Promise.resolve(this.#describeExit({ error: child }));
      return;
    }
    this.#child = child;
    // Synchronously after the start: until the event loop turns, it keeps its pid even if it has ended.
    this.identity = child.pid === undefined ? undefined : readIdentity(child.pid);
    this.ended = this.#waitForEnd(child, log);
  }

  async #waitForEnd(child: ChildProcess, log: PartLog): Promise<PartExit> {
    const drained = keepOutput(child, log);
    const exit = await new Promise<PartExit>((resolve) => {
      child.once("exit", (exitCode, signal) => {
        this.#isOver = true;
        clearTimeout(this.#killTimer);
        // What the command left in its group ends with it. While it has members, its number is given to nobody else.
        this.#signalGroup("SIGKILL");
        resolve(this.#describeExit({ exitCode, signal }));
      });
      child.on("error", (cause) => {
        if (child.pid !== undefined) return;
        this.#isOver = true;
        resolve(this.#describeExit({ error: describeStartError(child.spawnfile, cause) }));
      });
    });
    await Promise.race([drained, sleep(DRAIN_MS)]);
    if (exit.error !== undefined) log.writeLine(exit.error);
    return exit;
  }

  #stop(): void {
    if (this.#requested || this.#isOver) return;
    this.#requested = true;
    this.#signalGroup("SIGTERM");
    this.#killTimer = setTimeout(() => this.#signalGroup("SIGKILL"), this.#graceMs);
  }

  #signalGroup(signal: NodeJS.Signals): void {
    if (this.#child?.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, signal);
    } catch (error) {
      if (errnoOf(error) !== "ESRCH" && errnoOf(error) !== "EPERM") throw error;
    }
  }

  #describeExit(how: { exitCode?: number | null; signal?: string | null; error?: string }): PartExit {
    const at = new Date().toISOString();
    return { exitCode: null, signal: null, at, requested: this.#requested, ...how };
  }
}

/** The started command, or why it cannot be started. */
function startCommand({ launchId, spec }: Launch): ChildProcess | string {
  const [file = "", ...args] = spec.command;
  // The operating system would say of this that the program does not exist.
  if (!existsSync(spec.cwd)) return `cannot start ${file}: the folder ${spec.cwd} does not exist`;
  const secrets: Record<string, string> = {};
  for (const name of spec.secrets?.names ?? [])
    secrets[name] = environment[SECRET_VARIABLE_PREFIX + name] ?? "";
  try {
    return spawn(file, args, {
      cwd: spec.cwd,
      env: {
        ...spec.ambient,
        ...spec.env,
        ...secrets,
        [LAUNCH_ID_VARIABLE]: launchId,
        [LAUNCH_DIR_VARIABLE]: environment[LAUNCH_DIR_VARIABLE],
      },
      // A process group of its own: it is ended with everything that it started.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
  } catch (cause) {
    return describeStartError(file, cause);
  }
}

/** By the code alone: the text of such an error may show the environment, and so a secret. */
function describeStartError(file: string, cause: unknown): string {
  const errno = errnoOf(cause);
  const reason =
    errno === "ENOENT" ? "there is no such program" : errno === "EACCES" ? "it is not executable" : errno;
  return `cannot start ${file}: ${reason ?? "unknown reason"}`;
}

/** Resolves when both streams are at their end. */
async function keepOutput(child: ChildProcess, log: PartLog): Promise<void> {
  await Promise.all(
    [child.stdout, child.stderr].map(async (stream) => {
      if (stream === null) return;
      const lines = log.stream();
      stream.on("data", (chunk: Buffer) => lines.write(chunk));
      await new Promise((resolve) => {
        stream.once("close", resolve);
        stream.once("error", resolve);
      });
      lines.end();
    }),
  );
}

try {
  await runPart(
    process.argv[2] ?? "",
    environment[LAUNCH_ID_VARIABLE] ?? "",
    environment[LAUNCH_DIR_VARIABLE] ?? "",
  );
} catch (error) {
  if (!isPolarisError(error) || error.code !== "STATE_UNWRITABLE") throw error;
  process.stderr.write(`${error.message}\n`);
  process.exit(RUNNER_EXIT.unwritable);
}
