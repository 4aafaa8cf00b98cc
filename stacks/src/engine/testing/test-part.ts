/** For tests: a part on the real engine with the test provider, all of it gone at the end of the test. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { parseBackend } from "../backend.ts";
import { findEngine, pulumiHomeOf } from "../find-engine.ts";
import type { Engine } from "../find-engine.ts";
import { openPart } from "../open-part.ts";
import type { PartOptions } from "../open-part.ts";
import type { Part } from "../part.ts";
import type { Progress } from "../progress.ts";
import type { PartProcessInput, PartProcessResult, ProgramName } from "./part-process.ts";
import { startTestProvider } from "./test-provider.ts";
import type { ProbeType, TestProvider } from "./test-provider.ts";

const PART_PROCESS = fileURLToPath(new URL("part-process.ts", import.meta.url));
const NEVER = new AbortController().signal;

/** The engine of POLARIS_TEST_PULUMI, or the one that a user would get; undefined if there is none. */
export async function findTestEngine(
  environment: Readonly<Record<string, string | undefined>>,
): Promise<Engine | undefined> {
  const chosen = environment["POLARIS_TEST_PULUMI"];
  return findEngine({
    ...(chosen !== undefined && { chosen }),
    searchPath: environment["PATH"] ?? "",
    pulumiHome: pulumiHomeOf(environment),
  });
}

/** The reason to skip a test of the real engine; false if there is one. */
export function skipWithout(engine: Engine | undefined): string | false {
  return engine === undefined ? "pulumi is not installed here: npm run engine builds it" : false;
}

export interface Cleanup {
  after(clean: () => Promise<void>): void;
}

/** One resource of a test's program. A function as a property's value makes it a secret. */
export interface ProbeResource {
  readonly type: ProbeType;
  readonly properties: Readonly<Record<string, unknown>>;
  readonly options?: { readonly protect?: boolean };
}

/** A machine with a state, and the provider that it asks. Several parts may be opened on it, as by several people. */
export interface TestMachine {
  readonly directory: string;
  readonly provider: TestProvider;
  /** Progress of the last operation. */
  readonly progress: { current: Progress };
  open(resources: Readonly<Record<string, ProbeResource>>, changes?: Partial<PartOptions>): Promise<Part>;
  /** `up` in a process of its own, which a test may stop as a person would. */
  start(program: ProgramName): {
    readonly process: ChildProcess;
    result(): Promise<PartProcessResult>;
  };
}

export async function startTestMachine(t: Cleanup, engine: Engine | undefined): Promise<TestMachine> {
  if (engine === undefined) throw new Error("no engine: the test should have been skipped");
  const directory = await realpath(await mkdtemp(join(tmpdir(), "polaris-engine-")));
  const provider = await startTestProvider();
  const processes: ChildProcess[] = [];
  t.after(async () => {
    for (const child of processes) child.kill("SIGKILL");
    provider.stop();
    await rm(directory, { recursive: true, force: true, maxRetries: 3 });
  });
  const place = { engine, directory, debugProviders: provider.debugProviders };
  const progress: TestMachine["progress"] = { current: { steps: [], messages: [] } };
  return {
    directory,
    provider,
    progress,
    open: (resources, changes = {}) =>
      openPart({
        ...testPartOptions(place),
        program: programOf(resources),
        onProgress: (next) => {
          progress.current = next;
        },
        ...changes,
      }),
    start(program) {
      const input: PartProcessInput = { ...place, program };
      const child = spawn(process.execPath, [PART_PROCESS, JSON.stringify(input)], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      processes.push(child);
      const output = text(child.stdout);
      return { process: child, result: async () => JSON.parse(await output) as PartProcessResult };
    },
  };
}

/** Options of a part that is everything by default, on one machine. */
export function testPartOptions(place: Omit<PartProcessInput, "program">): PartOptions {
  const { engine, directory, debugProviders } = place;
  return {
    engine,
    project: "probe",
    stack: "hello-default-base",
    program: async () => ({}),
    backend: parseBackend(`file://${directory}/state`),
    secrets: { kind: "passphrase", file: join(directory, "passphrase") },
    environment: {
      PATH: "/usr/local/bin:/usr/bin:/bin",
      HOME: directory,
      PULUMI_DEBUG_PROVIDERS: debugProviders,
      // What nobody but this process may have.
      DATABASE_PASSWORD: "not for the engine",
    },
    clouds: [],
    workDir: join(directory, "work"),
    plugins: [],
    pluginSource: { offline: true },
    keyTypes: new Set(),
    userAgent: "polaris/0.0.0-test",
    stop: { gently: NEVER, now: NEVER },
    createMissing: true,
    secretValues: [],
    findHint: () => undefined,
    onProgress: () => {},
    onPluginProgress: () => {},
  };
}

/** A program that makes the resources and gives the id of each. */
function programOf(resources: Readonly<Record<string, ProbeResource>>): PartOptions["program"] {
  return async () => {
    const [{ secret }, { Probe }] = await Promise.all([import("@pulumi/pulumi"), import("./probe.ts")]);
    return Object.fromEntries(
      Object.entries(resources).map(([name, { type, properties, options }]) => {
        const given = Object.entries(properties).map(([key, value]) => [
          key,
          typeof value === "function" ? secret((value as () => unknown)()) : value,
        ]);
        return [name, new Probe(type, name, Object.fromEntries(given), { ...options }).id];
      }),
    );
  };
}
