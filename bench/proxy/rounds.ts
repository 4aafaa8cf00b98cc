import { summarize } from "../measure.ts";
import type { Row } from "../measure.ts";
import type { LoadJob, LoadOutcome } from "./jobs.ts";
import { readCpuMs, readMachineCpuMs } from "./process-cost.ts";
import type { LoadGenerator, RunningServer } from "./processes.ts";

/** What one round of load showed. */
export interface LoadSample extends LoadOutcome {
  /** CPU time of the server for one request, all threads, in microseconds. */
  readonly cpuUs: number | undefined;
  /** Who took how many cores, if this machine tells. */
  readonly busy: Busy | undefined;
}

interface Busy {
  readonly server: number;
  readonly workload: number;
  readonly generator: number;
  /** Everything else on this machine. */
  readonly others: number;
}

export async function sampleLoad(
  generator: LoadGenerator,
  server: RunningServer,
  workload: RunningServer,
  job: Omit<LoadJob, "kind" | "port">,
): Promise<LoadSample> {
  const readAll = async (): Promise<(number | undefined)[]> =>
    await Promise.all([readCpuMs(server), readCpuMs(workload), readMachineCpuMs()]);
  const before = await readAll();
  const outcome = await generator.run({ kind: "load", port: server.port, ...job });
  const after = await readAll();
  const [serverMs, workloadMs, machineMs] = after.map((ms, place) => subtract(ms, before[place]));
  if (serverMs === undefined || workloadMs === undefined || machineMs === undefined)
    return { ...outcome, cpuUs: undefined, busy: undefined };
  const othersMs = Math.max(0, machineMs - serverMs - workloadMs - outcome.cpuMs);
  return {
    ...outcome,
    cpuUs: (serverMs / outcome.requestCount) * 1000,
    busy: {
      server: serverMs / outcome.elapsedMs,
      workload: workloadMs / outcome.elapsedMs,
      generator: outcome.cpuMs / outcome.elapsedMs,
      others: othersMs / outcome.elapsedMs,
    },
  };
}

/** Takes samples of two sides in turn: A B B A …, so that what else the machine does, and who comes second, meets both. */
export async function alternate<A, B>(
  rounds: number,
  first: () => Promise<A>,
  second: () => Promise<B>,
): Promise<{ readonly firsts: A[]; readonly seconds: B[] }> {
  const firsts: A[] = [];
  const seconds: B[] = [];
  for (let round = 0; round < rounds; round += 1) {
    if (round % 2 === 0) firsts.push(await first());
    seconds.push(await second());
    if (round % 2 === 1) firsts.push(await first());
  }
  return { firsts, seconds };
}

/** A server that takes less than this of a core is waiting for somebody else. */
const BUSY_ENOUGH = 0.9;

/** What others may take of a core before it is worth a word. */
const OTHERS_ENOUGH = 0.15;

/** Who was busy how much; of the others only if it was not the server that took the time. */
export function describeBusy(samples: readonly LoadSample[], serverName: string): Row[] {
  const busy = samples.map((sample) => sample.busy).filter((shares) => shares !== undefined);
  if (busy.length === 0) return [];
  const row = (who: string, key: keyof Busy): Row => ({
    what: `${who}, share of one core`,
    unit: "%",
    values: busy.map((shares) => shares[key] * 100),
  });
  const isServerBusy = summarize(busy.map(({ server }) => server)).median >= BUSY_ENOUGH;
  const areOthersBusy = summarize(busy.map(({ others }) => others)).median >= OTHERS_ENOUGH;
  return [
    row(serverName, "server"),
    ...(isServerBusy ? [] : [row("load generator", "generator"), row("workload", "workload")]),
    ...(areOthersBusy ? [row("everything else on this machine", "others")] : []),
  ];
}

function subtract(after: number | undefined, before: number | undefined): number | undefined {
  return after === undefined || before === undefined ? undefined : after - before;
}
