import { setTimeout as wait } from "node:timers/promises";
import { summarize } from "../measure.ts";
import type { Bench, Figure, Row } from "../measure.ts";
import { listKnown, readMemoryMiB } from "../proxy/process-cost.ts";
import { startLoadGenerator, startPolarisProxy, startWorkload } from "../proxy/processes.ts";
import type { RunningServer } from "../proxy/processes.ts";

const FEW = 20_000;
const MANY = 200_000;
const CONNECTIONS = 32;

/** Looks at the memory, one after the other, of a proxy that has nothing to do. */
const LOOKS = 10;
const LOOK_EVERY_MS = 200;

const MAX_RATIO = 1.1;

/** Whatever a proxy keeps of each request shows after enough of them. */
export const memory: Figure = {
  name: "memory",
  about: "the proxy's memory after 200 000 requests, against after 20 000",
  limitMs: 90_000,
  measure,
};

async function measure(bench: Bench): Promise<Row[]> {
  await using workload = await startWorkload(bench);
  await using ours = await startPolarisProxy(bench, workload, "off");
  await using generator = await startLoadGenerator(bench);

  /** GET and POST, half and half. */
  async function send(requestCount: number): Promise<void> {
    const job = { kind: "load", port: ours.port, connections: CONNECTIONS } as const;
    await generator.run({ ...job, messages: "get", until: { requestCount: requestCount / 2 } });
    await generator.run({ ...job, messages: "post", until: { requestCount: requestCount / 2 } });
  }

  await send(FEW);
  const after20k = await watchMemory(ours);
  await send(MANY - FEW);
  const after200k = await watchMemory(ours);
  return [
    {
      what: "memory after 200 000 requests",
      unit: "MiB",
      values: after200k,
      reference: { what: "after 20 000", unit: "MiB", values: after20k },
      target: { kind: "ratio-at-most", ratio: MAX_RATIO },
      legs: [{ what: "peak", unit: "MiB", values: listKnown(await readMemoryMiB(ours, "peak")) }],
    },
  ];
}

async function watchMemory(server: RunningServer): Promise<number[]> {
  const looks: number[] = [];
  for (let look = 0; look < LOOKS; look += 1) {
    await wait(LOOK_EVERY_MS);
    looks.push(...listKnown(await readMemoryMiB(server, "now")));
  }
  return looks.length === 0 ? [] : [summarize(looks).median];
}
