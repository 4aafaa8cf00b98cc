import { summarize } from "../measure.ts";
import type { Bench, Figure, Row } from "../measure.ts";
import { startLoadGenerator, startPolarisProxy, startWorkload } from "../proxy/processes.ts";
import { alternate } from "../proxy/rounds.ts";

const ROUNDS = 25;

/** Streams a round, of which the middle one counts: the first of a connection also makes it. */
const STREAMS = 3;

const MAX_ADDED_MS = 10;

/** An event that is sent at once, on a stream that goes on: how much later it comes through the proxy. */
export const firstEvent: Figure = {
  name: "first-event",
  about: "first server-sent event through the proxy, against the workload itself",
  limitMs: 60_000,
  measure,
};

async function measure(bench: Bench): Promise<Row[]> {
  await using workload = await startWorkload(bench);
  await using ours = await startPolarisProxy(bench, workload, "off");
  await using generator = await startLoadGenerator(bench);

  const listen = async (port: number): Promise<number> => {
    const { firstEventMs } = await generator.run({ kind: "events", port, count: STREAMS });
    return summarize(firstEventMs).median;
  };
  await listen(workload.port);
  await listen(ours.port);
  const { firsts, seconds } = await alternate(
    ROUNDS,
    () => listen(workload.port),
    () => listen(ours.port),
  );
  return [
    {
      what: "first event of a stream, through the proxy",
      unit: "ms",
      values: seconds,
      reference: { what: "direct", unit: "ms", values: firsts },
      target: { kind: "added-at-most", value: MAX_ADDED_MS },
    },
  ];
}
