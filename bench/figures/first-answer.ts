import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadLockFile } from "@polaris-cvm/stacks/lock-file/file.ts";
import { createStackClient } from "@polaris-cvm/stacks/stack-client.ts";
import { timeRsaKey } from "../measure.ts";
import type { Bench, Figure, Row } from "../measure.ts";
import { RunError, runNode, runPolaris } from "../run-node.ts";
import type { Line, Run } from "../run-node.ts";
import { StillRunningError } from "../still-running-error.ts";

const EXAMPLE = fileURLToPath(new URL("../../examples/hello/", import.meta.url));

const MAX_ROUNDS = 5;

/** No round is begun after this; one takes about ten seconds. */
const ROUNDS_MS = 30_000;

const REFERENCES_A_ROUND = 3;

/** Longest time to end a stack: also after Ctrl-C nothing stays behind. */
const END_MS = 15_000;

/** `polaris` does not find the stack: there is nothing to end. */
const STACK_NOT_FOUND_EXIT = 6;

/** From the start of `polaris deploy` to the answer of the workload, sealed and opened: the sum of its legs. */
export const firstAnswer: Figure = {
  name: "first-answer",
  about: "from polaris deploy to the first answer, against the keys and processes that it cannot do without",
  limitMs: 60_000,
  measure,
};

/** What a deploy spends its time with, one after the other. The workload starts beside the trust services. */
const LEGS = [
  "command, until the first part starts",
  "trust services ready",
  "token agent ready",
  "proxy ready",
  "verified, command ended",
  "first request: verify, make a key, seal, open",
] as const;

/** In milliseconds, in the order of LEGS. */
type LegsMs = readonly number[];

async function measure(bench: Bench): Promise<Row[]> {
  const first: LegsMs[] = [];
  const second: LegsMs[] = [];
  const rsaKeyMs: number[] = [];
  const nodeMs: number[] = [];
  const startedMs = performance.now();
  for (let round = 0; round < MAX_ROUNDS && performance.now() - startedMs < ROUNDS_MS; round += 1) {
    const project = await createProject(bench, round);
    try {
      first.push(await deployAndAsk(bench, project));
      await runPolaris(bench, ["destroy", "--yes"], project);
      second.push(await deployAndAsk(bench, project));
    } finally {
      await endProject(bench, project);
    }
    for (let count = 0; count < REFERENCES_A_ROUND; count += 1) {
      rsaKeyMs.push(await timeRsaKey());
      nodeMs.push((await runNode(bench, ["-e", "0"])).elapsedMs);
      bench.signal.throwIfAborted();
    }
  }
  // The very first one fills the compile cache. One sample of it says nothing: making keys takes anything from 0.2 to 2 s.
  const warm = first.slice(1);
  return [
    {
      what: "first deploy to first answer (keys are made)",
      unit: "ms",
      values: warm.map(sum),
      reference: { what: "an RSA-4096 key", unit: "ms", values: rsaKeyMs },
      legs: legsOf(warm),
    },
    {
      what: "deploy after destroy to first answer (key kept)",
      unit: "ms",
      values: second.map(sum),
      reference: { what: "node -e 0", unit: "ms", values: nodeMs },
      legs: legsOf(second),
    },
  ];
}

/** A folder of its own, so a stack and a key of its own. */
async function createProject(bench: Bench, round: number): Promise<string> {
  const project = join(bench.tempDir, `hello-${round}`);
  await cp(EXAMPLE, project, {
    recursive: true,
    filter: (source) => !source.includes("/.polaris") && !source.endsWith("polaris.lock"),
  });
  return project;
}

async function deployAndAsk(bench: Bench, project: string): Promise<LegsMs> {
  const deploy = await runPolaris(bench, ["deploy", "--yes", "--json=stream"], project);
  const startedMs = performance.now();
  const lockFile = await loadLockFile(join(project, "polaris.lock"));
  if (lockFile === undefined) throw new Error("polaris deploy left no polaris.lock");
  const client = createStackClient({
    lockFile,
    stack: "default",
    acceptSimulated: true,
    insecureSkipVerification: false,
  });
  const response = await client.fetch("/hello", { signal: bench.signal });
  const text = await response.text();
  if (response.status !== 200 || !text.startsWith("Hello"))
    throw new Error(`instead of a greeting came ${response.status} ${text}`);
  return [...deployLegs(deploy), performance.now() - startedMs];
}

function deployLegs({ elapsedMs, lines }: Run): LegsMs {
  const endsMs = [
    timeOf(lines, "trust", "starting"),
    timeOf(lines, "trust", "ready"),
    timeOf(lines, "token-agent", "ready"),
    timeOf(lines, "proxy", "ready"),
    elapsedMs,
  ];
  return endsMs.map((endMs, leg) => endMs - (endsMs[leg - 1] ?? 0));
}

/** When the deploy told of an event. The last line is another kind of document, which has no `part`. */
function timeOf(lines: readonly Line[], part: string, phase: string): number {
  const line = lines.find(({ text }) => {
    const event = JSON.parse(text) as { readonly part?: string; readonly phase?: string };
    return event.part === part && event.phase === phase;
  });
  if (line === undefined) throw new Error(`polaris deploy did not tell that ${part} is ${phase}`);
  return line.atMs;
}

/** Ends what the round started, also after Ctrl-C. */
async function endProject(bench: Bench, project: string): Promise<void> {
  const ending: Bench = { ...bench, signal: AbortSignal.timeout(END_MS) };
  try {
    await runPolaris(ending, ["destroy", "--yes", "--destroy-key", "--confirm", "default"], project);
  } catch (cause) {
    if (!(cause instanceof RunError) || cause.exitCode !== STACK_NOT_FOUND_EXIT)
      throw new StillRunningError(project, { cause });
  }
  await rm(project, { recursive: true });
}

function legsOf(deploys: readonly LegsMs[]): Row[] {
  return LEGS.map((what, leg) => ({
    what,
    unit: "ms",
    values: deploys.map((legsMs) => legsMs[leg] ?? Number.NaN),
  }));
}

function sum(legsMs: LegsMs): number {
  return legsMs.reduce((total, legMs) => total + legMs, 0);
}
