import { setTimeout as wait } from "node:timers/promises";
import type { Bench, Figure, Row } from "../measure.ts";
import { startLoadGenerator, startPolarisProxy, startWorkload } from "../proxy/processes.ts";
import { alternate, sampleLoad } from "../proxy/rounds.ts";

const ROUNDS = 5;
const WINDOW_MS = 3_000;
const WARM_UP_MS = 3_000;
const CLEAR_CONNECTIONS = 32;
const SEALED_CONNECTIONS = 8;

/** Sealed requests begin before the clear ones and go on after them. */
const SEALED_LEAD_MS = 500;
const SEALED_WINDOW_MS = WINDOW_MS + 1_500;

const MAX_RATIO = 3;

/** What RSA operations on all cores do to those who only pass through. */
export const mixed: Figure = {
  name: "mixed",
  about:
    "slowest one in a hundred of the clear requests while 8 clients send sealed ones, against without them",
  limitMs: 90_000,
  measure,
};

async function measure(bench: Bench): Promise<Row[]> {
  await using workload = await startWorkload(bench);
  await using ours = await startPolarisProxy(bench, workload, "optional");
  await using clearClients = await startLoadGenerator(bench);
  await using sealedClients = await startLoadGenerator(bench);

  const sendClear = (windowMs: number): ReturnType<typeof sampleLoad> =>
    sampleLoad(clearClients, ours, workload, {
      messages: "get",
      connections: CLEAR_CONNECTIONS,
      until: { windowMs },
    });
  const sendSealed = (windowMs: number): ReturnType<typeof sampleLoad> =>
    sampleLoad(sealedClients, ours, workload, {
      messages: "sealed",
      connections: SEALED_CONNECTIONS,
      until: { windowMs },
    });
  await sendClear(WARM_UP_MS);
  await sendSealed(WARM_UP_MS);
  const { firsts: alone, seconds: beside } = await alternate(
    ROUNDS,
    () => sendClear(WINDOW_MS),
    async () => {
      const [sealed, clear] = await Promise.all([
        sendSealed(SEALED_WINDOW_MS),
        wait(SEALED_LEAD_MS).then(() => sendClear(WINDOW_MS)),
      ]);
      return { sealed, clear };
    },
  );
  const clear = beside.map((round) => round.clear);
  return [
    {
      what: "99 % of the clear requests take less, beside sealed ones",
      unit: "ms",
      values: clear.map(({ p99Ms }) => p99Ms),
      isPaired: true,
      reference: { what: "without them", unit: "ms", values: alone.map(({ p99Ms }) => p99Ms) },
      target: { kind: "ratio-at-most", ratio: MAX_RATIO },
      legs: [
        {
          what: "50 % take less",
          unit: "ms",
          values: clear.map(({ p50Ms }) => p50Ms),
          isPaired: true,
          reference: { what: "without them", unit: "ms", values: alone.map(({ p50Ms }) => p50Ms) },
        },
        {
          what: "clear requests",
          unit: "req/s",
          values: clear.map(({ requestsPerSecond }) => requestsPerSecond),
          isPaired: true,
          reference: {
            what: "without them",
            unit: "req/s",
            values: alone.map(({ requestsPerSecond }) => requestsPerSecond),
          },
        },
        {
          what: "sealed requests",
          unit: "req/s",
          values: beside.map(({ sealed }) => sealed.requestsPerSecond),
        },
      ],
    },
  ];
}
