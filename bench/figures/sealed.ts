import { summarize } from "../measure.ts";
import type { Bench, Figure, Row } from "../measure.ts";
import {
  startLoadGenerator,
  startPolarisProxy,
  startRsaReference,
  startWorkload,
} from "../proxy/processes.ts";
import { alternate, describeBusy, sampleLoad } from "../proxy/rounds.ts";

const ROUNDS = 11;
const WINDOW_MS = 3_000;
const RSA_WINDOW_MS = 1_000;
const WARM_UP_MS = 3_000;
const CONNECTIONS = 8;

/** Private operations for one request with a body: content key and vector of the URL, of the headers and of the body. */
const DECRYPTS_A_REQUEST = 6;

const MIN_SHARE = 0.8;

/** Requests sealed both ways, against what the machine could do if there were nothing but their RSA operations. */
export const sealed: Figure = {
  name: "sealed",
  about: "wire v1 both ways, 1 KiB, against the RSA operations alone",
  limitMs: 120_000,
  measure,
};

async function measure(bench: Bench): Promise<Row[]> {
  await using workload = await startWorkload(bench);
  await using ours = await startPolarisProxy(bench, workload, "optional");
  await using generator = await startLoadGenerator(bench);
  await using rsa = await startRsaReference(bench);

  const sample = (windowMs: number): ReturnType<typeof sampleLoad> =>
    sampleLoad(generator, ours, workload, {
      messages: "sealed",
      connections: CONNECTIONS,
      until: { windowMs },
    });
  await sample(WARM_UP_MS);
  const { firsts: decrypts, seconds: samples } = await alternate(
    ROUNDS,
    async () => ({
      "thread pool": await rsa.run({ way: "thread pool", windowMs: RSA_WINDOW_MS }),
      "worker threads": await rsa.run({ way: "worker threads", windowMs: RSA_WINDOW_MS }),
    }),
    () => sample(WINDOW_MS),
  );

  const pool = decrypts.map((way) => way["thread pool"]);
  const workers = decrypts.map((way) => way["worker threads"]);
  const better = summarize(pool).median > summarize(workers).median ? pool : workers;
  return [
    {
      what: "sealed both ways, POST of 1 KiB with 1 KiB back",
      unit: "req/s",
      values: samples.map(({ requestsPerSecond }) => requestsPerSecond),
      isPaired: true,
      reference: {
        what: `RSA-4096 decrypts on all cores ÷ ${DECRYPTS_A_REQUEST}`,
        unit: "req/s",
        values: better.map((decrypts) => decrypts / DECRYPTS_A_REQUEST),
      },
      target: { kind: "ratio-at-least", ratio: MIN_SHARE },
      legs: [
        { what: "RSA-4096 decrypts, thread pool", unit: "op/s", values: pool },
        { what: "RSA-4096 decrypts, worker threads", unit: "op/s", values: workers },
        {
          what: "half of the requests take longer than",
          unit: "ms",
          values: samples.map(({ p50Ms }) => p50Ms),
        },
        ...describeBusy(samples, "proxy"),
      ],
    },
  ];
}
