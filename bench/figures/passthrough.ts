import type { Bench, Figure, Row, Samples } from "../measure.ts";
import {
  startLoadGenerator,
  startPolarisProxy,
  startReferenceProxy,
  startWorkload,
} from "../proxy/processes.ts";
import { listKnown } from "../proxy/process-cost.ts";
import { alternate, describeBusy, sampleLoad } from "../proxy/rounds.ts";
import type { LoadSample } from "../proxy/rounds.ts";

/** Many and short: neighbours on the machine come and go in seconds. */
const ROUNDS = 41;
const WINDOW_MS = 500;
/** Until V8 has compiled for good what every request runs through; the more there is of it, the longer that takes. */
const WARM_UP_MS = 12_000;
const CONNECTIONS = 32;

const MIN_SHARE = 0.85;

/** Requests in the clear through ours and through the bare reference: what all that ours does besides costs. */
export const passthrough: Figure = {
  name: "passthrough",
  about: "1 KiB in the clear, against the bare reference proxy",
  limitMs: 180_000,
  measure,
};

async function measure(bench: Bench): Promise<Row[]> {
  await using workload = await startWorkload(bench);
  await using reference = await startReferenceProxy(bench, workload);
  await using ours = await startPolarisProxy(bench, workload, "off");
  await using generator = await startLoadGenerator(bench);

  const rows: Row[] = [];
  for (const messages of ["get", "post"] as const) {
    const sample = (server: typeof ours, windowMs: number): Promise<LoadSample> =>
      sampleLoad(generator, server, workload, { messages, connections: CONNECTIONS, until: { windowMs } });
    await sample(reference, WARM_UP_MS);
    await sample(ours, WARM_UP_MS);
    const { firsts, seconds } = await alternate(
      ROUNDS,
      () => sample(reference, WINDOW_MS),
      () => sample(ours, WINDOW_MS),
    );
    rows.push(compare(NAMES[messages], seconds, firsts));
  }
  return rows;
}

const NAMES = { get: "passthrough, GET with 1 KiB back", post: "passthrough, POST of 1 KiB with 1 KiB back" };

function compare(what: string, ours: readonly LoadSample[], bare: readonly LoadSample[]): Row {
  return {
    what,
    ...requestRates(ours),
    isPaired: true,
    reference: { what: "bare reference", ...requestRates(bare) },
    target: { kind: "ratio-at-least", ratio: MIN_SHARE },
    legs: [
      {
        what: "CPU time a request",
        ...cpuTimes(ours),
        isPaired: true,
        reference: { what: "bare reference", ...cpuTimes(bare) },
      },
      ...describeBusy(ours, "proxy"),
      ...describeBusy(bare, "bare reference"),
    ],
  };
}

type Measured = Omit<Samples, "what">;

function requestRates(samples: readonly LoadSample[]): Measured {
  return { unit: "req/s", values: samples.map(({ requestsPerSecond }) => requestsPerSecond) };
}

function cpuTimes(samples: readonly LoadSample[]): Measured {
  return { unit: "µs", values: listKnown(...samples.map(({ cpuUs }) => cpuUs)) };
}
