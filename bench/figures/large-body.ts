import type { Bench, Figure, Row, Samples } from "../measure.ts";
import { LARGE_BODY_BYTES } from "../proxy/messages.ts";
import { listKnown, readCpuMs, readMemoryMiB } from "../proxy/process-cost.ts";
import {
  startLoadGenerator,
  startPolarisProxy,
  startReferenceProxy,
  startWorkload,
} from "../proxy/processes.ts";
import type { RunningServer } from "../proxy/processes.ts";
import { alternate } from "../proxy/rounds.ts";

const ROUNDS = 4;

const MIN_SHARE = 0.85;
const MAX_PEAK_MIB = 200;

const MIB = LARGE_BODY_BYTES / 1024 / 1024;

/** A body that nobody should hold: how fast it streams through, and what that takes of memory. */
export const largeBody: Figure = {
  name: "large-body",
  about: "1 GiB in the clear in either direction, against the bare reference proxy, and the proxy's memory",
  limitMs: 150_000,
  measure,
};

interface Transfer {
  readonly mibPerSecond: number;
  /** CPU time of the server. */
  readonly cpuMs: number | undefined;
}

async function measure(bench: Bench): Promise<Row[]> {
  await using workload = await startWorkload(bench);
  await using reference = await startReferenceProxy(bench, workload);
  await using ours = await startPolarisProxy(bench, workload, "off");
  await using generator = await startLoadGenerator(bench);

  async function transfer(kind: "download" | "upload", server: RunningServer): Promise<Transfer> {
    const before = await readCpuMs(server);
    const { elapsedMs } = await generator.run({ kind, port: server.port });
    const after = await readCpuMs(server);
    return {
      mibPerSecond: (MIB / elapsedMs) * 1000,
      cpuMs: before === undefined || after === undefined ? undefined : after - before,
    };
  }

  const rows: Row[] = [];
  for (const kind of ["download", "upload"] as const) {
    await transfer(kind, reference);
    await transfer(kind, ours);
    const { firsts, seconds } = await alternate(
      ROUNDS,
      () => transfer(kind, reference),
      () => transfer(kind, ours),
    );
    rows.push(compare(`1 GiB ${kind}`, seconds, firsts));
  }
  return [
    ...rows,
    {
      what: "peak memory of the proxy after them",
      unit: "MiB",
      values: listKnown(await readMemoryMiB(ours, "peak")),
      reference: {
        what: "bare reference",
        unit: "MiB",
        values: listKnown(await readMemoryMiB(reference, "peak")),
      },
      target: { kind: "at-most", value: MAX_PEAK_MIB },
    },
  ];
}

function compare(what: string, ours: readonly Transfer[], bare: readonly Transfer[]): Row {
  return {
    what,
    ...rates(ours),
    isPaired: true,
    reference: { what: "bare reference", ...rates(bare) },
    target: { kind: "ratio-at-least", ratio: MIN_SHARE },
    legs: [
      {
        what: "CPU time",
        ...cpuTimes(ours),
        isPaired: true,
        reference: { what: "bare reference", ...cpuTimes(bare) },
      },
    ],
  };
}

function rates(transfers: readonly Transfer[]): Omit<Samples, "what"> {
  return { unit: "MiB/s", values: transfers.map(({ mibPerSecond }) => mibPerSecond) };
}

function cpuTimes(transfers: readonly Transfer[]): Omit<Samples, "what"> {
  return { unit: "ms", values: listKnown(...transfers.map(({ cpuMs }) => cpuMs)) };
}
